/**
 * What lies over the terminal, without moving it: a ribbon for passing news, a card when the game is over, panels at
 * its side. None hides the last lines a player wants to read.
 */

import { make, makeButton, need } from "./dom";
import type { Level } from "../net/frames";
import { here } from "../net/here";
import type { CardWords } from "./words";

/** How long a passing sentence stays. */
const HINT_MS = 4_000;

export class Ribbon {
  private readonly _root = need("ribbon", HTMLElement);
  private _lasting: { text: string; actions: HTMLElement[] } | undefined;
  private _hintTimer: number | undefined;

  /** Shows a sentence until it is replaced or `clear`ed. */
  show(text: string, ...actions: Array<{ label: string; handle: () => void }>): void {
    // The same once more is no news: it is not read aloud again, and a button that has the focus keeps it.
    if (this._lasting?.text === text && this._hintTimer === undefined) return;
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

/** A panel at the terminal's side, opened by a button of the bar. One is open at a time. */
export class SidePanel {
  private static _open: SidePanel | undefined;
  private readonly _root: HTMLElement;
  private readonly _toggle: HTMLElement;

  /** `buttons`: those that belong to it; the first one opens and closes it. */
  constructor(id: string, private readonly _buttons: [HTMLElement, ...HTMLElement[]], private readonly _onClose: () => void) {
    this._root = need(id, HTMLElement);
    this._toggle = _buttons[0];
    this._toggle.addEventListener("click", () => this.show(this._root.hidden));
    this._root.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.show(false);
    });
    document.addEventListener("pointerdown", ({ target }) => this._handleElsewhere(target));
  }

  show(visible: boolean): void {
    if (visible && SidePanel._open !== this) SidePanel._open?._draw(false);
    this._draw(visible);
    if (visible) this.focus();
    else this._onClose();
  }

  focus(): void {
    this._root.focus({ preventScroll: true });
  }

  private _draw(visible: boolean): void {
    SidePanel._open = visible ? this : undefined;
    this._root.hidden = !visible;
    this._toggle.setAttribute("aria-expanded", String(visible));
  }

  /** Whoever points somewhere else is done here; what is opened from here lies over it. */
  private _handleElsewhere(target: EventTarget | null): void {
    if (target instanceof Element && target.closest("dialog") !== null) return;
    const isOurs = [this._root, ...this._buttons].some((own) => target instanceof Node && own.contains(target));
    if (!isOurs && !this._root.hidden) this.show(false);
  }
}

export interface CardHandlers {
  onNewGame(): void;
  onTakeBack(): void;
  onRetry(): void;
  onPlayRecording(): void;
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
      buttons.append(makeButton("small", "Play the recording", () => this._handlers.onPlayRecording()));
      buttons.append(makeButton("small", "Save the recording", () => this._handlers.onSaveRecording()));
    }
    const home = make("a", "quiet", "Back to the start");
    home.href = here("/");
    buttons.append(home);
    const book = make("p", "book-line");
    book.hidden = true;
    this._root.replaceChildren(title, make("p", "", text), book, buttons);
    this._root.hidden = false;
    // The card, not its button: whoever still types Enter must not start something by it.
    this._root.focus({ preventScroll: true });
  }

  /** Tells of the spellbook's newest version, and where it can be downloaded. */
  showBook(text: string, address: string): void {
    const line = this._root.querySelector<HTMLElement>(".book-line");
    if (line === null) return;
    const download = make("a", "small", "Download");
    download.setAttribute("aria-label", "Download the spellbook");
    download.href = address;
    download.download = "spellbook.dat";
    const older = make("a", "small", "Older versions");
    older.href = `${here("/")}#book`;
    line.replaceChildren(make("span", "", text), " ", download, " ", older);
    line.hidden = false;
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
