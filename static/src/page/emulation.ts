/**
 * What makes xterm.js the terminal that the server follows with its own emulator (src/terminal/emulator): its widths, and
 * answers that it does not give by itself. No DOM.
 */

import type { IParser, IUnicodeHandling } from "@xterm/xterm";
import { serverWidths } from "./widths";

/** The part of xterm.js that is used, in a page or without one. */
export interface Emulating {
  readonly unicode: IUnicodeHandling;
  readonly parser: IParser;
}

/** XTVERSION (xterm's control sequences): which terminal this is. */
const VERSION = "\u001bP>|xterm.js(6.0.0)\u001b\\";

/** To be called before anything is drawn; `answer` sends text to the program. */
export function emulate(xterm: Emulating, answer: (text: string) => void): void {
  xterm.unicode.register(serverWidths);
  xterm.unicode.activeVersion = serverWidths.version;
  xterm.parser.registerCsiHandler({ prefix: ">", final: "q" }, ([first]) => {
    if (first === 0) answer(VERSION);
    return true;
  });
}
