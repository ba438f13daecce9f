/** The one line above the terminal: connection mark, round trip, title, shell, settings. */

import { need } from "./dom";
import type { StatusWords } from "./words";

/** Above this a key's echo is felt as slow. */
const SLOW_MS = 150;

export interface StatusBarHandlers {
  onFontSize(step: 1 | -1): void;
  onScreenReader(on: boolean): void;
  /** A button was pointed at; whoever presses it by a key stays on it. */
  onPointed(): void;
}

export class StatusBar {
  private readonly _mark = need("mark", HTMLElement);
  private readonly _label = need("state", HTMLElement);
  private readonly _aloud = need("state-aloud", HTMLElement);
  private readonly _latency = need("latency", HTMLElement);
  private readonly _title = need("title", HTMLElement);
  private readonly _reader = need("reader", HTMLButtonElement);

  constructor(handlers: StatusBarHandlers) {
    const listen = (button: HTMLButtonElement, act: () => void) =>
      button.addEventListener("click", ({ detail }) => {
        act();
        if (detail > 0) handlers.onPointed();
      });
    listen(need("smaller", HTMLButtonElement), () => handlers.onFontSize(-1));
    listen(need("larger", HTMLButtonElement), () => handlers.onFontSize(1));
    listen(this._reader, () => {
      const on = this._reader.getAttribute("aria-pressed") !== "true";
      this.setScreenReader(on);
      handlers.onScreenReader(on);
    });
  }

  show({ mark, label, aloud }: StatusWords): void {
    this._mark.dataset["mark"] = mark;
    this._label.textContent = label;
    // A countdown must not be read aloud every second.
    if (this._aloud.textContent !== aloud) this._aloud.textContent = aloud;
    if (mark !== "good") this._latency.textContent = "";
  }

  showLatency(ms: number): void {
    this._latency.textContent = ms < 1 ? "<1 ms" : `${Math.round(ms)} ms`;
    this._latency.dataset["pace"] = ms > SLOW_MS ? "slow" : "fine";
  }

  showTitle(title: string): void {
    this._title.textContent = title;
  }

  setScreenReader(on: boolean): void {
    this._reader.setAttribute("aria-pressed", String(on));
  }
}
