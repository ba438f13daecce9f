/**
 * Notices a terminal that draws nothing any more. xterm.js 6.0.0 throws within its own writer at some sequences (on a
 * new terminal `ESC [ 24 ; 80 H  ESC [ 1 J  x`), and after that it calls nobody back. No DOM: the clock is handed in.
 */

import type { Disposable } from "./disposal";

/** Twice in a row without any callback, and the terminal is dead; once may be a computer that slept. */
const CHECK_MS = 2_500;
/** The same, right after an error on the page. */
const SUSPECT_MS = 250;
const STRIKES = 2;

export class DrawingWatch implements Disposable {
  private _due = 0;
  private _strikes = 0;
  private _cancel: (() => void) | undefined;

  constructor(
    private readonly _later: (ms: number, callback: () => void) => () => void,
    private readonly _onDead: () => void,
  ) {}

  /** Something is handed to the terminal; what is returned is to be called once it is drawn. */
  begin(): () => void {
    this._due += 1;
    if (this._cancel === undefined) this._look(CHECK_MS);
    return () => {
      this._due -= 1;
      this._strikes = 0;
      if (this._due === 0) this.dispose();
    };
  }

  /** There was an error on the page, and it may have been the terminal's. */
  suspect(): void {
    if (this._cancel !== undefined) this._look(SUSPECT_MS);
  }

  dispose(): void {
    this._cancel?.();
    this._cancel = undefined;
  }

  private _look(ms: number): void {
    this.dispose();
    this._cancel = this._later(ms, () => {
      this._cancel = undefined;
      this._strikes += 1;
      if (this._strikes === STRIKES) this._onDead();
      else this._look(ms);
    });
  }
}
