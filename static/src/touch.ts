/** Scrolling with a finger, which xterm.js 6.0.0 does not do itself. */

import type { Terminal } from "@xterm/xterm";

import { Disposables } from "./disposal";
import type { Disposable } from "./disposal";

/** A finger that moved less than this meant to tap. */
const TAP_PX = 8;

export function scrollByTouch(host: HTMLElement, xterm: Terminal): Disposable {
  const disposables = new Disposables();
  let startY: number | undefined;
  let scrolledLines = 0;

  disposables.listen(host, "touchstart", (event) => {
    const { touches } = event as TouchEvent;
    startY = touches.length === 1 ? touches[0]?.clientY : undefined;
    scrolledLines = 0;
  }, { passive: true });

  disposables.listen(host, "touchmove", (event) => {
    const y = (event as TouchEvent).touches[0]?.clientY;
    if (startY === undefined || y === undefined || Math.abs(startY - y) < TAP_PX) return;
    const lineHeight = host.clientHeight / xterm.rows;
    const lines = Math.trunc((startY - y) / lineHeight);
    if (lines !== scrolledLines) xterm.scrollLines(lines - scrolledLines);
    scrolledLines = lines;
    event.preventDefault();
  }, { passive: false });

  return disposables;
}
