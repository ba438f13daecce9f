/**
 * Scrolling with a finger, which xterm.js 6.0.0 does not do itself: the scrollback, or what a program shows that has the
 * whole screen or has asked for the mouse. Such a program is sent what a mouse's wheel would send it.
 */

import type { Terminal } from "@xterm/xterm";

import { Disposables } from "./disposal";
import type { Disposable } from "./disposal";
import { barKey } from "./keys";

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
  // A long press is no scrolling, wherever the finger goes then.
  disposables.listen(host, "contextmenu", () => (startY = undefined));

  disposables.listen(host, "touchmove", (event) => {
    const touch = (event as TouchEvent).touches[0];
    if (startY === undefined || touch === undefined || Math.abs(startY - touch.clientY) < TAP_PX) return;
    const lineHeight = host.clientHeight / xterm.rows;
    const lines = Math.trunc((startY - touch.clientY) / lineHeight);
    if (lines !== scrolledLines) scroll(xterm, lines - scrolledLines, touch);
    scrolledLines = lines;
    event.preventDefault();
  }, { passive: false });

  return disposables;
}

/** Downwards; upwards if `lines` is negative. */
function scroll(xterm: Terminal, lines: number, { clientX, clientY }: Touch): void {
  const { mouseTrackingMode, applicationCursorKeysMode: applicationCursor } = xterm.modes;
  const step = Math.sign(lines);
  if (mouseTrackingMode !== "none") {
    // xterm.js knows in which of its spellings the program wants the wheel.
    const wheel = { deltaY: step, deltaMode: WheelEvent.DOM_DELTA_LINE, clientX, clientY, bubbles: true, cancelable: true };
    for (let line = 0; line !== lines; line += step) xterm.element?.dispatchEvent(new WheelEvent("wheel", wheel));
  } else if (xterm.buffer.active.type === "alternate") {
    const arrow = barKey(step < 0 ? "ArrowUp" : "ArrowDown", { ctrl: false, applicationCursor });
    xterm.input(arrow.repeat(Math.abs(lines)), true);
  } else {
    xterm.scrollLines(lines);
  }
}
