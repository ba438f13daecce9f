/** Tells where a wish for a game stands while it waits: asks once a second, from the first second on. */

import { queuePlace } from "./api";
import type { Place } from "./api";

const ASK_EVERY_MS = 1_000;

/** Calls back with each place, and once with undefined when the turn has come. The returned function ends it. */
export function watchQueue(ticket: string, onPlace: (place: Place | undefined) => void): () => void {
  let isOver = false;
  let hasWaited = false;
  let timer = window.setTimeout(() => void look(), ASK_EVERY_MS);
  async function look(): Promise<void> {
    const place = await queuePlace(ticket);
    if (isOver) return;
    if (place === "none" && hasWaited) return onPlace(undefined);
    if (place !== "none" && place !== undefined) {
      hasWaited = true;
      onPlace(place);
    }
    timer = window.setTimeout(() => void look(), ASK_EVERY_MS);
  }
  return () => {
    isOver = true;
    window.clearTimeout(timer);
  };
}
