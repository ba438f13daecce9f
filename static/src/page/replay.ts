/** Plays a recording over the page, in a terminal of its own: the game behind it goes on. */

import type { Cast, CastEvent } from "../net/cast";
import { need } from "./dom";
import { GameTerminal } from "./terminal";
import type { TerminalOptions } from "./terminal";
import { clockWords } from "./words";

const TICK_MS = 40;
/** The slider counts whole milliseconds: a browser may round a fraction, and what ends a recording is then never reached. */
const SLIDER_PER_SECOND = 1_000;
/** How far an arrow key skips, of which a slider knows only by the pixel. */
const SKIP_SECONDS: Record<string, number> = { ArrowLeft: -5, ArrowDown: -5, ArrowRight: 5, ArrowUp: 5 };

type Looks = Pick<TerminalOptions, "dark" | "fontSize" | "optionIsMeta" | "screenReader">;

export class Replay {
  private readonly _dialog = need("replay", HTMLDialogElement);
  private readonly _play = need("replay-play", HTMLButtonElement);
  private readonly _position = need("replay-position", HTMLInputElement);
  private readonly _time = need("replay-time", HTMLElement);
  private readonly _speed = need("replay-speed", HTMLSelectElement);
  private readonly _encoder = new TextEncoder();
  private _terminal: GameTerminal | undefined;
  private _cast: Cast = { cols: 80, rows: 24, events: [], seconds: 0 };
  /** What has been played: so many seconds, and all events before this one. */
  private _at = 0;
  private _next = 0;
  private _ticked = 0;
  private _timer: number | undefined;
  /** Whether a part is being drawn all at once; what is wished meanwhile comes after it. */
  private _isSkipping = false;
  private _wanted: number | undefined;

  constructor(onClose: () => void) {
    this._play.addEventListener("click", () => this._setPlaying(this._timer === undefined));
    this._position.addEventListener("input", () => {
      this._skipTo(Math.min(this._position.valueAsNumber / SLIDER_PER_SECOND, this._cast.seconds));
    });
    this._position.addEventListener("keydown", (event) => {
      const skip = SKIP_SECONDS[event.key];
      if (skip === undefined) return;
      event.preventDefault();
      this._skipTo(Math.min(Math.max(0, this._at + skip), this._cast.seconds));
    });
    need("replay-close", HTMLButtonElement).addEventListener("click", () => this._dialog.close());
    this._dialog.addEventListener("close", () => {
      this._setPlaying(false);
      this._terminal?.dispose();
      this._terminal = undefined;
      onClose();
    });
  }

  open(cast: Cast, looks: Looks): void {
    this._cast = cast;
    this._dialog.showModal();
    const ignore = (): void => undefined;
    // What the recording asks, links, or calls its window is nothing to this page.
    this._terminal = new GameTerminal(
      need("replay-screen", HTMLElement),
      { onInput: ignore, onSize: ignore, onTitle: ignore, onLinkHover: ignore, onDead: ignore },
      { ...looks, renderer: "dom", isLetterboxed: true },
    );
    this._terminal.setReadOnly(true);
    this._position.max = String(Math.ceil(cast.seconds * SLIDER_PER_SECOND));
    this._isSkipping = false;
    this._rewind();
    this._setPlaying(true);
    this._play.focus();
  }

  private _rewind(): void {
    this._at = 0;
    this._next = 0;
    this._terminal?.restart();
    this._terminal?.hold(this._cast.cols, this._cast.rows);
  }

  private _setPlaying(isPlaying: boolean): void {
    window.clearInterval(this._timer);
    this._timer = undefined;
    if (isPlaying) {
      if (this._at >= this._cast.seconds) this._rewind();
      this._ticked = performance.now();
      this._timer = window.setInterval(() => this._tick(), TICK_MS);
    }
    this._play.textContent = isPlaying ? "Pause" : "Play";
    this._showTime();
  }

  private _tick(): void {
    const now = performance.now();
    const passed = (now - this._ticked) / 1_000;
    this._ticked = now;
    if (this._isSkipping) return;
    this._at = Math.min(this._cast.seconds, this._at + passed * Number(this._speed.value));
    this._drawUpTo(this._at);
    if (this._at >= this._cast.seconds) this._setPlaying(false);
    else this._showTime();
  }

  /** Draws all that there is up to that time; whoever goes back sees the whole of it drawn anew. */
  private _skipTo(seconds: number): void {
    this._wanted = seconds;
    if (this._isSkipping) return;
    this._isSkipping = true;
    if (seconds < this._at) this._rewind();
    this._at = seconds;
    const terminal = this._terminal;
    this._drawUpTo(seconds, () => {
      if (terminal !== this._terminal) return;
      this._isSkipping = false;
      if (this._wanted !== undefined && this._wanted !== seconds) this._skipTo(this._wanted);
    });
    this._showTime();
  }

  /** Output that follows each other is drawn as one. */
  private _drawUpTo(seconds: number, drawn = (): void => undefined): void {
    let text = "";
    const draw = (then: () => void): void => {
      this._terminal?.write(this._encoder.encode(text), then, true);
      text = "";
    };
    for (let event = this._due(seconds); event !== undefined; event = this._due(seconds)) {
      if ("data" in event) {
        text += event.data;
        continue;
      }
      draw(() => undefined);
      this._terminal?.hold(event.cols, event.rows);
    }
    draw(drawn);
  }

  private _due(seconds: number): CastEvent | undefined {
    const event = this._cast.events[this._next];
    if (event === undefined || event.at > seconds) return undefined;
    this._next += 1;
    return event;
  }

  private _showTime(): void {
    const words = clockWords(this._at, this._cast.seconds);
    this._position.value = String(Math.round(this._at * SLIDER_PER_SECOND));
    this._position.setAttribute("aria-valuetext", words);
    this._time.textContent = words;
  }
}
