/** What an input method composes, shown at the cursor until it is written. */

import type { Terminal } from "@xterm/xterm";

import type { Disposable } from "./disposal";
import { make } from "./dom";

export interface Composed extends Disposable {
  /** Nothing hides it. */
  show(text: string): void;
}

export function composedView(host: HTMLElement, xterm: Terminal): Composed {
  const view = make("div", "composed");
  view.hidden = true;
  // The text area has it already for who listens.
  view.setAttribute("aria-hidden", "true");
  host.append(view);
  const show = (text: string) => {
    view.textContent = text;
    view.hidden = text === "";
    if (!view.hidden) place(view, host, xterm);
  };
  return { show, dispose: () => view.remove() };
}

/** At the cursor; text that is too long for the rest of the line begins before it. */
function place(view: HTMLElement, host: HTMLElement, xterm: Terminal): void {
  const screen = host.querySelector(".xterm-screen")?.getBoundingClientRect();
  if (screen === undefined) return;
  const { left, top } = host.getBoundingClientRect();
  const { cursorX, cursorY, baseY, viewportY } = xterm.buffer.active;
  const { fontFamily, fontSize } = xterm.options;
  const height = screen.height / xterm.rows;
  Object.assign(view.style, { fontFamily, fontSize: `${fontSize}px`, lineHeight: `${height}px`, maxWidth: `${screen.width}px` });
  const x = Math.max(0, Math.min((cursorX * screen.width) / xterm.cols, screen.width - view.offsetWidth));
  view.style.left = `${screen.left - left + x}px`;
  view.style.top = `${screen.top - top + (baseY - viewportY + cursorY) * height}px`;
}
