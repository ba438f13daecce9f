/** Putting text on the clipboard, wherever the page came from. */

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
