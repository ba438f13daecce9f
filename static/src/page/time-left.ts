/** How long the game goes on if nobody types, always there to be looked at; a press puts the end off. */

import { need } from "./dom";
import { timeLeftWords } from "./words";

/** How often what is told is counted down. */
const COUNT_EVERY_MS = 15_000;
/** While somebody types the server is asked this often at most: each question is a request of its own. */
const ASK_EVERY_MS = 120_000;

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
  private _askedAt = 0;
  /** When the game ends if nobody types, by this page's clock; undefined while nobody knows. */
  private _endsAt: number | undefined;
  private _hasTyped = false;

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
    this._timer = window.setInterval(() => this._count(), COUNT_EVERY_MS);
    void this._ask();
  }

  /** Keys were sent, which put the end off: by how much, the server says later. */
  noteKeys(): void {
    this._hasTyped = true;
  }

  stop(): void {
    window.clearInterval(this._timer);
    this._timer = undefined;
    this._asked += 1;
    this._endsAt = undefined;
    this._hasTyped = false;
    this._button.hidden = true;
  }

  private _count(): void {
    if (this._hasTyped && performance.now() - this._askedAt >= ASK_EVERY_MS) void this._ask();
    else this._draw();
  }

  private async _ask(): Promise<void> {
    if (document.visibilityState !== "visible") return;
    const mine = (this._asked += 1);
    this._hasTyped = false;
    this._askedAt = performance.now();
    const seconds = await this._handlers.ask();
    if (mine !== this._asked) return;
    this._endsAt = seconds === undefined ? undefined : performance.now() + seconds * 1_000;
    this._draw();
  }

  private _draw(): void {
    this._button.hidden = this._endsAt === undefined;
    if (this._endsAt === undefined) return;
    const { short, long } = timeLeftWords(Math.max(0, Math.ceil((this._endsAt - performance.now()) / 1_000)));
    this._button.textContent = short;
    this._button.title = long;
    this._button.setAttribute("aria-label", long);
  }
}
