/** What can be said of a spellbook. Pure. Its format is in sandbox/GAME.md, "The spellbook". */

/** A line of it: a check, and a spell that is learnt or forgotten from here on. */
const CHANGE = /^[0-9a-f]{8} (learn|forget) (\S+)/;

/** As much as the server takes, in bytes. */
const MOST_BYTES = 1 << 20;

/** How many spells are in it; undefined for a book in which this finds none, as other shells may keep them. */
export function spellCount(book: string): number | undefined {
  const known = new Set<string>();
  let isOurs = false;
  for (const line of book.split("\n")) {
    const [, change, name] = CHANGE.exec(line) ?? [];
    if (name === undefined) continue;
    isOurs = true;
    if (change === "learn") known.add(name);
    else known.delete(name);
  }
  return isOurs ? known.size : undefined;
}

/** "3 spells, saved 5 min ago"; without the spells where they are not known. */
export function bookLine(bytes: number, spells: number | undefined, age: number): string {
  const size = spells === undefined ? sizeText(bytes) : `${spells} ${spells === 1 ? "spell" : "spells"}`;
  return `${size}, saved ${timeAgo(age)}`;
}

/** Why a file can't be a spellbook; undefined when it may be one. */
export function bookFault(bytes: Uint8Array): string | undefined {
  if (bytes.length > MOST_BYTES) return "That file is too long: a spellbook has 1 MiB at most.";
  if (bytes.length === 0) return "That file is empty.";
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    return undefined;
  } catch {
    return "That file is no spellbook: it is not text.";
  }
}

export function sizeText(bytes: number): string {
  return bytes < 1024 ? `${bytes} bytes` : `${Math.ceil(bytes / 1024)} KiB`;
}

/** `ms`: milliseconds since then. */
export function timeAgo(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return "just now";
  if (minutes < 60) return `${minutes} min ago`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ago` : `${Math.floor(hours / 24)} days ago`;
}
