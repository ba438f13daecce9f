/**
 * What lies over the terminal, without moving it: a ribbon for passing news, a card when the game is over.
 * Neither hides the last lines a player wants to read, and neither takes the keys away from the page.
 */

import { make, makeButton, need } from "./dom";
import type { Level } from "./frames";
import { here } from "./here";
import type { CardWords } from "./words";

/** How long a passing sentence stays. */
const HINT_MS = 4_000;

export class Ribbon {
  private readonly _root = need("ribbon", HTMLElement);
  private _lasting: { text: string; actions: HTMLElement[] } | undefined;
  private _hintTimer: number | undefined;

  /** Shows a sentence until it is replaced or `clear`ed. */
  show(text: string, ...actions: Array<{ label: string; handle: () => void }>): void {
    this._lasting = { text, actions: actions.map(({ label, handle }) => makeButton("small", label, handle)) };
    if (this._hintTimer === undefined) this._draw(this._lasting.text, this._lasting.actions);
  }

  /** Shows a sentence for a moment, then what was there before. */
  hint(text: string, level: Level = "info"): void {
    window.clearTimeout(this._hintTimer);
    this._draw(text);
    this._root.dataset["level"] = level;
    this._hintTimer = window.setTimeout(() => {
      this._hintTimer = undefined;
      if (this._lasting === undefined) this._root.hidden = true;
      else this._draw(this._lasting.text, this._lasting.actions);
    }, HINT_MS);
  }

  clear(): void {
    this._lasting = undefined;
    if (this._hintTimer === undefined) this._root.hidden = true;
  }

  private _draw(text: string, actions: HTMLElement[] = []): void {
    this._root.dataset["level"] = "info";
    this._root.replaceChildren(make("span", "", text), ...actions);
    this._root.hidden = false;
  }
}

export interface CardHandlers {
  onNewGame(): void;
  onTakeBack(): void;
  onRetry(): void;
  onSaveRecording(): void;
}

export class Card {
  private readonly _root = need("card", HTMLElement);

  constructor(private readonly _handlers: CardHandlers) {}

  /** `hasRecording`: whether there is one to take home. */
  show({ headline, text, actions }: CardWords, hasRecording: boolean): void {
    const title = make("h2", "", headline);
    title.id = "card-title";
    const buttons = make("div", "actions");
    for (const action of actions) buttons.append(this._button(action));
    if (hasRecording) {
      buttons.append(makeButton("small", "Save the recording", () => this._handlers.onSaveRecording()));
    }
    const home = make("a", "quiet", "Back to the start");
    home.href = here("/");
    buttons.append(home);
    this._root.replaceChildren(title, make("p", "", text), buttons);
    this._root.hidden = false;
    // The card, not its button: whoever still types Enter must not start something by it.
    this._root.focus({ preventScroll: true });
  }

  /** Says why the wish could not be fulfilled, on the card itself. */
  complain(text: string): void {
    this._root.querySelector(".complaint")?.remove();
    const complaint = make("p", "complaint", text);
    complaint.setAttribute("role", "alert");
    this._root.append(complaint);
  }

  hide(): void {
    this._root.hidden = true;
  }

  private _button(action: CardWords["actions"][number]): HTMLButtonElement {
    switch (action) {
      case "new-game":
        return makeButton("primary", "New game", () => this._handlers.onNewGame());
      case "take-back":
        return makeButton("primary", "Take back", () => this._handlers.onTakeBack());
      case "retry":
        return makeButton("primary", "Try again", () => this._handlers.onRetry());
    }
  }
}
