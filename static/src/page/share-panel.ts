/**
 * The panel for letting others watch and for recording. It lies over the terminal and moves nothing.
 * It asks the server by the handlers, and says what came of it.
 */

import type { Failure } from "../net/api";
import { copyText } from "./clipboard";
import { need } from "./dom";
import { SidePanel } from "./panels";
import type { WatchLink } from "../net/share-api";
import { isFocusLost } from "./way-out";

export interface SharePanelHandlers {
  onShare(): Promise<WatchLink | Failure>;
  onUnshare(): Promise<Failure | undefined>;
  onRecord(): Promise<Failure | undefined>;
  onDrop(): Promise<Failure | undefined>;
  onPlay(): Promise<Failure | undefined>;
  onDownload(): Promise<Failure | undefined>;
  onClose(): void;
}

export class SharePanel {
  private readonly _panel: SidePanel;
  private readonly _spectators = need("spectators", HTMLElement);
  private readonly _link = need("watch-link", HTMLInputElement);
  private readonly _until = need("watch-until", HTMLElement);
  private readonly _complaint = need("share-complaint", HTMLElement);
  private _isRecording = false;
  /** Whether the player has said anything about it on this page: that is newer than what the server said before. */
  private _hasDecided = false;

  constructor(private readonly _handlers: SharePanelHandlers) {
    const buttons: [HTMLElement, HTMLElement] = [need("share-toggle", HTMLButtonElement), this._spectators];
    this._panel = new SidePanel("share", buttons, () => this._handlers.onClose());
    this._spectators.addEventListener("click", () => this._panel.show(true));
    this._link.addEventListener("focus", () => this._link.select());
    this._onClick("watch-start", () => this._share());
    this._onClick("watch-stop", () => this._unshare());
    this._onClick("watch-copy", (button) => this._copy(button));
    this._onClick("record-start", () => this._record());
    this._onClick("record-drop", () => this._drop());
    this._onClick("record-play", () => this._handlers.onPlay());
    this._onClick("record-save", () => this._handlers.onDownload());
    this._draw();
  }

  get isRecording(): boolean {
    return this._isRecording;
  }

  /** What the server says about a recording from before this page. */
  learnRecording(on: boolean): void {
    if (this._hasDecided) return;
    this._isRecording = on;
    this._draw();
  }

  showSpectators(count: number): void {
    this._spectators.hidden = count === 0;
    need("spectator-count", HTMLElement).textContent = String(count);
    this._spectators.title = count === 1 ? "One person watches" : `${count} people watch`;
    this._spectators.setAttribute("aria-label", this._spectators.title);
  }

  private async _share(): Promise<Failure | undefined> {
    const answer = await this._handlers.onShare();
    if ("message" in answer) return answer;
    this._link.value = answer.url;
    this._until.textContent = answer.expiresAt === undefined ? "" : `Open until ${hour(answer.expiresAt)}.`;
    this._draw();
    this._link.focus();
    return undefined;
  }

  private async _unshare(): Promise<Failure | undefined> {
    const failure = await this._handlers.onUnshare();
    if (failure === undefined) this._link.value = "";
    this._draw();
    if (failure === undefined) this._until.textContent = "All links are closed.";
    return failure;
  }

  private async _copy(button: HTMLButtonElement): Promise<undefined> {
    const worked = await copyText(this._link.value);
    button.textContent = worked ? "Copied" : "Select and copy";
    window.setTimeout(() => (button.textContent = "Copy"), 2_000);
    return undefined;
  }

  private async _record(): Promise<Failure | undefined> {
    this._hasDecided = true;
    const failure = await this._handlers.onRecord();
    if (failure === undefined) this._setRecording(true);
    return failure;
  }

  private async _drop(): Promise<Failure | undefined> {
    this._hasDecided = true;
    const failure = await this._handlers.onDrop();
    if (failure === undefined) this._setRecording(false);
    return failure;
  }

  private _setRecording(on: boolean): void {
    this._isRecording = on;
    this._draw();
  }

  private _draw(): void {
    const hasLink = this._link.value !== "";
    need("watch-address", HTMLElement).hidden = !hasLink;
    need("watch-start", HTMLButtonElement).textContent = hasLink ? "Another link" : "Make a watch link";
    need("record-mark", HTMLElement).hidden = !this._isRecording;
    need("record-on", HTMLElement).hidden = !this._isRecording;
    need("record-start", HTMLButtonElement).hidden = this._isRecording;
  }

  /** While a wish is under way its button rests; what comes of it is said in the panel. */
  private _onClick(id: string, act: (button: HTMLButtonElement) => Promise<Failure | undefined>): void {
    const button = need(id, HTMLButtonElement);
    button.addEventListener("click", () => {
      if (button.ariaDisabled === "true") return;
      button.ariaDisabled = "true"; // A disabled button would lose the focus.
      this._complaint.hidden = true;
      void act(button).then((failure) => {
        button.ariaDisabled = null;
        // A button that goes loses the focus, and Escape would go nowhere.
        if (isFocusLost()) this._panel.focus();
        this._complaint.textContent = failure?.message ?? "";
        this._complaint.hidden = failure === undefined;
      });
    });
  }
}

/** The hour of day, with the day's name when it is not today. */
function hour(date: Date): string {
  const isToday = date.toDateString() === new Date().toDateString();
  return date.toLocaleString([], { ...(isToday ? {} : { weekday: "long" }), hour: "2-digit", minute: "2-digit" });
}
