/** The clipboard: text is put there wherever the page came from, and read where the browser lets us. */

/** Resolves to whether it worked. */
export async function copyText(text: string): Promise<boolean> {
  // Only pages from https or localhost have `clipboard`; the old way works everywhere.
  if (navigator.clipboard === undefined) return copyTheOldWay(text);
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyTheOldWay(text);
  }
}

/** Only pages from https or localhost may, and not in every browser. */
export function isClipboardReadable(): boolean {
  return typeof navigator.clipboard?.readText === "function";
}

/** Resolves to undefined when the player or the browser refuses. */
export function readText(): Promise<string | undefined> {
  return navigator.clipboard.readText().catch(() => undefined);
}

function copyTheOldWay(text: string): boolean {
  const focused = document.activeElement;
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "off-screen";
  document.body.append(area);
  area.select();
  const worked = document.execCommand("copy");
  area.remove();
  if (focused instanceof HTMLElement) focused.focus({ preventScroll: true });
  return worked;
}
