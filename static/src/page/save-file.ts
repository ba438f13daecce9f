/** Hands a file to the browser's downloads. */

/** The browser reads the blob after the click; nobody says when it is done. */
const RELEASE_MS = 60_000;

export function saveFile(blob: Blob, name: string): void {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  window.setTimeout(() => URL.revokeObjectURL(link.href), RELEASE_MS);
}
