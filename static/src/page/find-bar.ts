/** Finds text in the scrollback, which the browser's own search does not see: it is drawn, not written. */

import { need } from "./dom";
import { isCtrlShift } from "./keys";

export interface FindBarHandlers {
  /** Goes to the next match, or to the one before; whether there is one, or undefined when it can't be looked for now. */
  onFind(text: string, isBack: boolean): Promise<boolean | undefined>;
  /** Back to the game. */
  onClose(): void;
}

export class FindBar {
  private readonly _root = need("find", HTMLElement);
  private readonly _text = need("find-text", HTMLInputElement);
  private readonly _result = need("find-result", HTMLElement);

  constructor(private readonly _handlers: FindBarHandlers) {
    // Before the terminal, which lets few keys pass.
    window.addEventListener("keydown", (event) => {
      if (!isCtrlShift(event, "F")) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      this.open();
    }, { capture: true });
    this._root.addEventListener("keydown", (event) => this._handleKey(event));
    this._text.addEventListener("input", () => this._say(""));
    need("find-toggle", HTMLButtonElement).addEventListener("click", () => (this._root.hidden ? this.open() : this._close()));
    need("find-before", HTMLButtonElement).addEventListener("click", () => void this._find(true));
    need("find-next", HTMLButtonElement).addEventListener("click", () => void this._find(false));
    need("find-close", HTMLButtonElement).addEventListener("click", () => this._close());
  }

  open(): void {
    this._draw(true);
    this._text.focus();
    this._text.select();
  }

  private _close(): void {
    this._draw(false);
    this._handlers.onClose();
  }

  private _draw(isVisible: boolean): void {
    this._root.hidden = !isVisible;
    this._say("");
    need("find-toggle", HTMLButtonElement).setAttribute("aria-expanded", String(isVisible));
  }

  private _handleKey(event: KeyboardEvent): void {
    if (event.key === "Escape") this._close();
    // Most is found above: what is looked for has scrolled away.
    if (event.key === "Enter" && event.target === this._text && !event.isComposing) void this._find(!event.shiftKey);
  }

  private async _find(isBack: boolean): Promise<void> {
    const text = this._text.value;
    if (text === "") return this._text.focus();
    const isFound = await this._handlers.onFind(text, isBack);
    if (text !== this._text.value) return;
    this._say(isFound === undefined ? "Not now: the server can't be reached" : isFound ? "" : "Not found");
  }

  private _say(text: string): void {
    this._result.textContent = text;
  }
}
