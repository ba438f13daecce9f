/**
 * Lets xterm.js style itself under `style-src 'self'`.
 *
 * xterm.js asks for <style> elements and one style attribute; a strict Content Security Policy blocks
 * both, but allows the same rules through the CSS object model. build.mjs puts these two functions in
 * the place of the blocked calls.
 */

/** An element that xterm.js may fill and remove like a <style>, backed by an adopted style sheet. */
export function createSheetElement(): HTMLElement {
  const sheet = new CSSStyleSheet();
  document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];

  // A template draws nothing and takes no part in the layout.
  const element = document.createElement("template");
  let text = "";
  Object.defineProperty(element, "textContent", {
    get: () => text,
    set: (css: string) => {
      text = css;
      sheet.replaceSync(css);
    },
  });
  const removeElement = element.remove.bind(element);
  element.remove = () => {
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((other) => other !== sheet);
    removeElement();
  };
  return element;
}

/** Appends declarations such as `color:#fff` to an element's own style. */
export function addStyle(element: HTMLElement, declarations: string): void {
  element.style.cssText += `${declarations};`;
}
