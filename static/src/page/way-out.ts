/**
 * The key that leads out of the terminal, which keeps Tab to itself, to the page's buttons, and back. A letter with
 * Ctrl and Shift is the same control character to a terminal as without Shift, so no shell or editor misses it.
 */

import { isCtrlShift } from "./keys";

export function openWayOut(bar: HTMLElement, onBack: () => void): void {
  // Before the terminal, which lets few keys pass.
  window.addEventListener("keydown", (event) => {
    if (!isCtrlShift(event, "X")) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (bar.contains(document.activeElement)) onBack();
    else focusRinged(firstButton(bar));
  }, { capture: true });
}

/** Browsers show no ring after a key with Ctrl, and one who has just left the terminal looks for it. */
function focusRinged(button: HTMLElement | undefined): void {
  if (button === undefined) return;
  button.classList.add("ringed");
  button.addEventListener("blur", () => button.classList.remove("ringed"), { once: true });
  button.focus();
}

/** Whether nobody has the keys: what had the focus is gone or hidden. */
export function isFocusLost(): boolean {
  const { activeElement } = document;
  // The browser itself notices a hidden one only when it draws next.
  return activeElement === null || activeElement === document.body || activeElement.getClientRects().length === 0;
}

function firstButton(bar: HTMLElement): HTMLElement | undefined {
  return [...bar.querySelectorAll<HTMLElement>("button")].find((button) => button.getClientRects().length > 0);
}
