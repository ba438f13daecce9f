/** The keys a phone's keyboard lacks, shown where the pointer is a finger. */

import { isClipboardReadable } from "./clipboard";
import { need } from "./dom";
import { barKey, withCtrl } from "./keys";
import type { BarKey } from "./keys";

export interface KeyBarHandlers {
  onKey(data: string): void;
  onPaste(): void;
  isApplicationCursor(): boolean;
}

export class KeyBar {
  private readonly _root = need("keys", HTMLElement);
  private readonly _ctrl = need("ctrl", HTMLButtonElement);
  private readonly _paste = need("paste", HTMLButtonElement);
  private _isCtrlHeld = false;

  constructor(private readonly _handlers: KeyBarHandlers) {
    this._showForFingers();
    this._paste.hidden = !isClipboardReadable();
    // Taking the focus would close the phone's keyboard.
    this._root.addEventListener("pointerdown", (event) => event.preventDefault());
    this._root.addEventListener("mousedown", (event) => event.preventDefault());
    this._root.addEventListener("click", (event) => this._handleClick(event));
  }

  /** What a typed character becomes while Ctrl is held down here; that lasts for one character. */
  transform(bytes: Uint8Array): Uint8Array {
    const byte = bytes[0];
    if (!this._isCtrlHeld || bytes.length !== 1 || byte === undefined) return bytes;
    this._holdCtrl(false);
    return new TextEncoder().encode(withCtrl(String.fromCharCode(byte)));
  }

  /** A device with mouse and touch screen says `fine`; its first touch tells more. */
  private _showForFingers(): void {
    const show = () => document.body.classList.add("finger");
    if (window.matchMedia("(pointer: coarse)").matches) show();
    else window.addEventListener("touchstart", show, { once: true, passive: true });
  }

  private _handleClick(event: Event): void {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (button === null) return;
    if (button === this._ctrl) {
      this._holdCtrl(!this._isCtrlHeld);
      return;
    }
    if (button === this._paste) {
      this._handlers.onPaste();
      return;
    }
    const held = { ctrl: this._isCtrlHeld, applicationCursor: this._handlers.isApplicationCursor() };
    this._holdCtrl(false);
    const { key, text } = button.dataset;
    if (key !== undefined) this._handlers.onKey(barKey(key as BarKey, held));
    else if (text !== undefined) this._handlers.onKey(held.ctrl ? withCtrl(text) : text);
  }

  private _holdCtrl(held: boolean): void {
    this._isCtrlHeld = held;
    this._ctrl.setAttribute("aria-pressed", String(held));
  }
}
