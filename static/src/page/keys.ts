/** What the keys of the phone's key bar send, and which keys are the page's own. Pure. */

export type BarKey = "Escape" | "Interrupt" | "Tab" | "ArrowUp" | "ArrowDown" | "ArrowLeft" | "ArrowRight";

const ARROWS: Partial<Record<BarKey, string>> = {
  ArrowUp: "A",
  ArrowDown: "B",
  ArrowRight: "C",
  ArrowLeft: "D",
};

/** The bytes of a key; programs that asked for application cursor keys get arrows as ESC O. */
export function barKey(key: BarKey, held: { ctrl: boolean; applicationCursor: boolean }): string {
  const arrow = ARROWS[key];
  if (arrow !== undefined) {
    if (held.ctrl) return `\u001b[1;5${arrow}`;
    return held.applicationCursor ? `\u001bO${arrow}` : `\u001b[${arrow}`;
  }
  if (key === "Interrupt") return "\u0003";
  return key === "Escape" ? "\u001b" : "\t";
}

/** The fields of a KeyboardEvent that tell which key it is. */
export type Pressed = Pick<KeyboardEvent, "key" | "code" | "ctrlKey" | "shiftKey" | "altKey" | "metaKey">;

/**
 * Whether this is Ctrl, Shift and this Latin letter, wherever the player's layout has it. A layout without Latin
 * letters has its keys named by their places.
 */
export function isCtrlShift({ key, code, ctrlKey, shiftKey, altKey, metaKey }: Pressed, letter: string): boolean {
  if (!ctrlKey || !shiftKey || altKey || metaKey) return false;
  return /^[a-z]$/i.test(key) ? key.toUpperCase() === letter : code === `Key${letter}`;
}

/** A typed character with Ctrl held: `c` becomes ETX. What has no control character stays as it is. */
export function withCtrl(data: string): string {
  if (data.length !== 1) return data;
  if (data === "?") return "\u007f";
  if (data === " ") return "\u0000";
  const code = data.toUpperCase().charCodeAt(0);
  return code >= 0x40 && code <= 0x5f ? String.fromCharCode(code & 0x1f) : data;
}
