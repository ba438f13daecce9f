/** How large letters can be for a terminal of a given size to fit into a window of a given size. Pure. */

/** Below this nobody reads a letter, but the picture is still whole. */
export const SMALLEST = 2;
export const LARGEST = 40;
const STEP = 0.25;

/** The largest letters for which `fits` is true; the smallest when it never is. Larger must fit less. */
export function largestFitting(fits: (fontSize: number) => boolean): number {
  let fitting = 0;
  let tooLarge = (LARGEST - SMALLEST) / STEP + 1;
  while (tooLarge - fitting > 1) {
    const middle = Math.floor((fitting + tooLarge) / 2);
    if (fits(SMALLEST + middle * STEP)) fitting = middle;
    else tooLarge = middle;
  }
  return SMALLEST + fitting * STEP;
}
