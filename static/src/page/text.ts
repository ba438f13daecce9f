/** Cleaning of text that comes from outside: the clipboard, and the program in the container. Pure. */

const TITLE_LENGTH = 80;

/**
 * What a paste may contain: text, tab and line ends. ESC and the other control characters go, because
 * xterm.js 6.0.0 lets them through even inside bracketed paste, where they could end the bracket and run
 * the rest as typed. C1 characters (U+0080–U+009F) go too: some programs take U+009B for ESC [.
 */
export function cleanPaste(text: string): string {
  // eslint-disable-next-line no-control-regex
  return text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f]/g, "");
}

/**
 * What a shell is sent so that `before`, at the end of its line, becomes `after`: DEL for each character that is gone, then
 * the new ones. Control characters are no text; a line's end is Enter.
 */
export function changes(before: string, after: string): string {
  const [old, now] = [Array.from(before), Array.from(after)];
  const first = old.findIndex((character, place) => character !== now[place]);
  const kept = first < 0 ? old.length : first;
  return "\u007f".repeat(old.length - kept) + cleanPaste(now.slice(kept).join("")).replace(/\r?\n/g, "\r");
}

/** A title as a program set it: one short line without control or direction-changing characters. */
export function cleanTitle(title: string): string {
  // eslint-disable-next-line no-control-regex
  const plain = title.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, " ").trim();
  const letters = Array.from(plain);
  return letters.length > TITLE_LENGTH ? `${letters.slice(0, TITLE_LENGTH - 1).join("")}…` : plain;
}

/** The address if it is an ordinary web link, else undefined. */
export function webLink(text: string): string | undefined {
  try {
    const url = new URL(text);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Whether this is a terminal's answer to a program's question (cursor position, device attributes, colour …)
 * rather than something a person typed. While history is drawn again, the old questions are asked again, and
 * their answers must not reach the program a second time.
 */
export function isTerminalAnswer(data: string): boolean {
  // eslint-disable-next-line no-control-regex
  return /^\u001b(\[[?>=]?[\d;]*(c|n|R|t|\$y)|\[\?\d+u|[P\]_].*|\[[IO])$/s.test(data);
}
