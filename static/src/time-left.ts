/** How long the game goes on if nobody types, always there to be looked at; a press puts the end off. */

import { need } from "./dom";
import { timeLeftWords } from "./words";

/** What is told in minutes need not be asked for more often. */
const ASK_EVERY_MS = 30_000;

export interface TimeLeftHandlers {
  /** Seconds until the end; undefined when nobody knows. */
  ask(): Promise<number | undefined>;
  onStay(): void;
}

export class TimeLeft {
  private readonly _button = need("time-left", HTMLButtonElement);
  private _timer: number | undefined;
  /** Counts the questions: an answer that comes behind a later one is old. */
  private _asked = 0;

  constructor(private readonly _handlers: TimeLeftHandlers) {
    this._button.addEventListener("click", () => {
      this._handlers.onStay();
      // The server has heard of it before it hears of the question: both go the same way, and this is asked later.
      window.setTimeout(() => void this._ask(), 500);
    });
    // Of a page that nobody sees nothing is asked.
    document.addEventListener("visibilitychange", () => this._timer !== undefined && void this._ask());
  }

  start(): void {
    window.clearInterval(this._timer);
    this._timer = window.setInterval(() => void this._ask(), ASK_EVERY_MS);
    void this._ask();
  }

  stop(): void {
    window.clearInterval(this._timer);
    this._timer = undefined;
    this._asked += 1;
    this._button.hidden = true;
  }

  private async _ask(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    const mine = (this._asked += 1);
    const seconds = await this._handlers.ask();
    if (mine !== this._asked) return;
    this._button.hidden = seconds === undefined;
    if (seconds === undefined) return;
    const { short, long } = timeLeftWords(seconds);
    this._button.textContent = short;
    this._button.title = long;
    this._button.setAttribute("aria-label", long);
  }
}
