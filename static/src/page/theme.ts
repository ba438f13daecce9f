/** Which colours the page has: those of the system, unless the player has chosen. */

import type { Theme } from "./themes";

const darkness = window.matchMedia("(prefers-color-scheme: dark)");

/** Gives the page these colours. */
export function applyTheme(theme: Theme): void {
  const { dataset } = document.documentElement;
  if (theme === "auto") delete dataset["theme"];
  else dataset["theme"] = theme;
}

/** Whether it is night on the page now. */
export function isDark(): boolean {
  const chosen = document.documentElement.dataset["theme"];
  return chosen === undefined ? darkness.matches : chosen === "dark";
}

/** The system has changed its colours. */
export function onSystemTheme(handle: () => void): void {
  darkness.addEventListener("change", handle);
}
