/**
 * The transcript as plain text over the terminal: for screen readers, for searching, and for selecting more
 * than a screen. It follows the game, except while something in it is selected.
 */

import { copyText } from "./clipboard";
import { need } from "./dom";

const REFRESH_MS = 500;

export interface PlainTextHandlers {
  /** All there is to read now. */
  read(): string;
  onClose(): void;
}

export class PlainText {
  private readonly _root = need("plain", HTMLElement);
  private readonly _text = need("plain-text", HTMLPreElement);
  private readonly _toggle = need("plain-toggle", HTMLButtonElement);
  /** What lies behind, and gets no keys meanwhile. */
  private readonly _behind = [need("terminal", HTMLElement), need("key-bar", HTMLElement)];
  private _timer: number | undefined;

  constructor(private readonly _handlers: PlainTextHandlers) {
    this._toggle.addEventListener("click", () => this._show(this._root.hidden));
    need("plain-close", HTMLButtonElement).addEventListener("click", () => this._show(false));
    const copy = need("plain-copy", HTMLButtonElement);
    copy.addEventListener("click", () => void this._copy(copy));
    this._root.addEventListener("keydown", (event) => this._handleKey(event));
  }

  get isOpen(): boolean {
    return !this._root.hidden;
  }

  focus(): void {
    this._text.focus({ preventScroll: true });
  }

  private _show(visible: boolean): void {
    this._toggle.setAttribute("aria-pressed", String(visible));
    this._root.hidden = !visible;
    for (const element of this._behind) element.inert = visible;
    window.clearInterval(this._timer);
    if (!visible) {
      this._text.textContent = "";
      this._handlers.onClose();
      return;
    }
    this._refresh();
    this._text.scrollTop = this._text.scrollHeight;
    this.focus();
    this._timer = window.setInterval(() => this._refresh(), REFRESH_MS);
  }

  private _refresh(): void {
    const text = this._handlers.read();
    if (text === this._text.textContent || this._hasSelection()) return;
    const { scrollTop, scrollHeight, clientHeight } = this._text;
    const isAtEnd = scrollHeight - scrollTop - clientHeight < 4;
    this._text.textContent = text;
    if (isAtEnd) this._text.scrollTop = this._text.scrollHeight;
  }

  private _hasSelection(): boolean {
    const selection = document.getSelection();
    return selection !== null && !selection.isCollapsed && this._text.contains(selection.anchorNode);
  }

  private _handleKey(event: KeyboardEvent): void {
    if (event.key === "Escape") {
      this._show(false);
      event.preventDefault();
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      document.getSelection()?.selectAllChildren(this._text);
      event.preventDefault();
    }
  }

  private async _copy(button: HTMLButtonElement): Promise<void> {
    const worked = await copyText(this._text.textContent ?? "");
    button.textContent = worked ? "Copied" : "Select and copy";
    window.setTimeout(() => (button.textContent = "Copy all"), 2_000);
  }
}
