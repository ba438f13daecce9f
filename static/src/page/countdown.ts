/**
 * The last minute before an idle game is put away. Any key that is sent ends it, as it does on the server; so do the
 * button and Shift alone, which type nothing. Shift, because Tab does not lead out of a terminal.
 */

import { need } from "./dom";

export class Countdown {
  private readonly _root = need("countdown", HTMLElement);
  private readonly _left = need("countdown-left", HTMLElement);
  private _timer: number | undefined;
  private _endsAt = 0;

  /** `onLeft` is told the seconds that are left, and none when that is over. */
  constructor(onStay: () => void, private readonly _onLeft: (seconds?: number) => void) {
    need("stay", HTMLButtonElement).addEventListener("click", onStay);
    // Before the terminal, which lets few keys pass.
    window.addEventListener("keydown", ({ key }) => key === "Shift" && !this._root.hidden && onStay(), { capture: true });
  }

  start(seconds: number): void {
    this._endsAt = performance.now() + seconds * 1_000;
    window.clearInterval(this._timer);
    this._timer = window.setInterval(() => this._draw(), 250);
    this._draw();
    this._root.hidden = false;
  }

  stop(): void {
    window.clearInterval(this._timer);
    if (!this._root.hidden) this._onLeft();
    this._root.hidden = true;
  }

  private _draw(): void {
    const seconds = Math.max(0, Math.ceil((this._endsAt - performance.now()) / 1_000));
    const text = `${seconds} s`;
    if (this._left.textContent === text && !this._root.hidden) return;
    this._left.textContent = text;
    this._onLeft(seconds);
  }
}
