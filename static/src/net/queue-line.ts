/** Tells where a wish for a game stands while it takes long: asks once a second, from the first second on. */

import { queueStanding } from "./api";
import type { Place } from "./api";

const ASK_EVERY_MS = 1_000;

/** Calls back with each place in the queue, and with undefined while the shell is being started. The returned function ends it. */
export function watchQueue(ticket: string, onPlace: (place: Place | undefined) => void): () => void {
  let isOver = false;
  let timer = setTimeout(() => void look(), ASK_EVERY_MS);
  async function look(): Promise<void> {
    const standing = await queueStanding(ticket);
    if (isOver) return;
    if (standing === "starting") onPlace(undefined);
    else if (standing !== "unknown" && standing !== undefined) onPlace(standing);
    timer = setTimeout(() => void look(), ASK_EVERY_MS);
  }
  return () => {
    isOver = true;
    clearTimeout(timer);
  };
}
