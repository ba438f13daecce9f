/**
 * How many columns a character takes, as the server counts them: what it draws for a page that comes back must stand
 * where it stood. No DOM.
 */

import type { IUnicodeVersionProvider } from "@xterm/xterm";
import { NONE, TWO } from "./width-table";

/** Below this every printable character has a column of its own, and every control none. */
const FIRST = 0x300;
/** Beyond this every character has one column: the last that has not is a variation selector (U+E01EF). */
const END = 0xe01f0;

const widths = decoded();

function decoded(): Uint8Array {
  const table = new Uint8Array(END).fill(1);
  for (const [ranges, width] of [[NONE, 0], [TWO, 2]] as const) {
    let end = 0;
    for (const range of ranges.split(" ")) {
      const [before = 0, more = 0] = range.split(".").map((digits) => parseInt(digits, 36));
      const first = end + before;
      end = first + more + 1;
      table.fill(width, first, end);
    }
  }
  return table;
}

function isControl(code: number): boolean {
  return code < 0x20 || (code >= 0x7f && code < 0xa0);
}

/** The columns of a character. */
export function widthOf(code: number): 0 | 1 | 2 {
  if (code < FIRST) return isControl(code) ? 0 : 1;
  return (widths[code] ?? 1) as 0 | 1 | 2;
}

/**
 * The same for xterm.js, whose properties of a character are its width, shifted by one, and whether it joins the one
 * before it: one without width does so wherever there is one, and leaves that one's width alone.
 */
export const serverWidths: IUnicodeVersionProvider = {
  version: "server",
  wcwidth: widthOf,
  charProperties(code, preceding) {
    const width = widthOf(code);
    if (width > 0) return width << 1;
    const widthBefore = (preceding >> 1) & 3;
    return widthBefore > 0 ? (widthBefore << 1) | 1 : 0;
  },
};
