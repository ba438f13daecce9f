/** The terminal's colours: ink by night, parchment by day. The page's own are in style.css. */

import type { ITheme } from "@xterm/xterm";

/** What a player may choose: what the system has, or one of these two. */
export const THEMES = ["auto", "dark", "light"] as const;
export type Theme = (typeof THEMES)[number];

export const NIGHT: ITheme = {
  background: "#14101f",
  foreground: "#e9e1d0",
  cursor: "#f2b84b",
  cursorAccent: "#14101f",
  selectionBackground: "#4b3b78",
  selectionInactiveBackground: "#352a55",
  scrollbarSliderBackground: "#e9e1d026",
  scrollbarSliderHoverBackground: "#e9e1d040",
  scrollbarSliderActiveBackground: "#e9e1d059",
  black: "#5c5178",
  red: "#ef6f6c",
  green: "#8fc776",
  yellow: "#f2b84b",
  blue: "#82a3f5",
  magenta: "#c792ea",
  cyan: "#6fcfc3",
  white: "#d9cfbb",
  brightBlack: "#8d82a8",
  brightRed: "#ff9a8f",
  brightGreen: "#b2e39a",
  brightYellow: "#ffd684",
  brightBlue: "#abc4ff",
  brightMagenta: "#e2b8ff",
  brightCyan: "#9ceee2",
  brightWhite: "#fffaf0",
};

export const DAY: ITheme = {
  background: "#f7f0e0",
  foreground: "#2b2238",
  cursor: "#8a3b12",
  cursorAccent: "#f7f0e0",
  selectionBackground: "#e0c99a",
  selectionInactiveBackground: "#eadcbc",
  scrollbarSliderBackground: "#2b223826",
  scrollbarSliderHoverBackground: "#2b223840",
  scrollbarSliderActiveBackground: "#2b223859",
  black: "#2b2238",
  red: "#a8272b",
  green: "#3b6b1f",
  yellow: "#855400",
  blue: "#2d4fb3",
  magenta: "#7a2f9e",
  cyan: "#0f6a66",
  white: "#6d6257",
  brightBlack: "#7a6f85",
  brightRed: "#c43d35",
  brightGreen: "#4f8430",
  brightYellow: "#a06a00",
  brightBlue: "#3f66d6",
  brightMagenta: "#9448ba",
  brightCyan: "#1d837d",
  brightWhite: "#453b52",
};
