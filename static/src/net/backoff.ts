/** How long to wait before trying again. Pure: time and chance come from the caller. */

const FIRST_MS = 250;
const LONGEST_MS = 10_000;

/**
 * The wait before attempt number `attempt` (0 is the first retry): doubling from 250 ms to 10 s, of
 * which up to half is taken off by chance, so that a thousand pages don't come back in one instant.
 */
export function backoff(attempt: number, random: number): number {
  const full = Math.min(LONGEST_MS, FIRST_MS * 2 ** Math.min(attempt, 16));
  return Math.round(full * (1 - random / 2));
}
