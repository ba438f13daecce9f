/** The tab's icon tells from afar how the game stands: gold while it is played, hollow while it waits, grey when it is over. */

import type { State } from "../net/connection";

type Look = "playing" | "waiting" | "over";

const RING = `<circle cx="16" cy="16" r="12.5" stroke-width="1.5"/>`;
const PROMPT = `<path stroke-width="2.8" d="m10.5 11.5 4.5 4.5-4.5 4.5M17 21h5"/>`;
/** As in favicon.svg, whose look the first one is. */
const LOOKS: Record<Look, string> = {
  playing: icon("#f2b84b", RING + PROMPT),
  waiting: icon("#f2b84b", `<circle cx="16" cy="16" r="10" stroke-width="3" stroke-dasharray="6 5"/>`),
  over: icon("#8d82a8", `${RING}<path stroke-width="3" d="M11 11l10 10M21 11 11 21"/>`),
};

export function showTabIcon({ kind }: State): void {
  const look = kind === "playing" ? "playing" : kind === "ended" || kind === "away" ? "over" : "waiting";
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  if (link === null || link.href === LOOKS[look]) return;
  link.href = LOOKS[look];
}

function icon(colour: string, drawing: string): string {
  const group = `<g fill="none" stroke="${colour}" stroke-linecap="round" stroke-linejoin="round">${drawing}</g>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect width="32" height="32" rx="7" fill="#1c1530"/>${group}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
