/**
 * The terminal on the screen: xterm.js with our colours, sizes, clipboard rules and renderers.
 * No network: bytes come in by `write`, keystrokes and sizes go out by the handlers.
 */

import { FitAddon } from "@xterm/addon-fit";
import type { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { Terminal } from "@xterm/xterm";

import { copyText } from "./clipboard";
import { Disposables } from "./disposal";
import type { Disposable } from "./disposal";
import { DrawingWatch } from "./drawing-watch";
import { emulate } from "./emulation";
import { within } from "../net/frames";
import { isCtrlShift } from "./keys";
import { largestFitting } from "./letterbox";
import { loadPart } from "./parts";
import { cleanPaste, cleanTitle, isTerminalAnswer, webLink } from "./text";
import { DAY, NIGHT } from "./themes";
import { scrollByTouch } from "./touch";
import { followWriting } from "./written";
import type { Written } from "./written";

/** xterm.js keeps 1.1–1.5 KB a line: 2,000 lines are 3 MB a page. */
const SCROLLBACK_LINES = 2_000;
const FONT_FAMILY =
  'ui-monospace, "Cascadia Mono", "JetBrains Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", "Liberation Mono", monospace';
/** What the DOM's renderer draws before it pays to look for a faster one: some minutes of typing, or one flood. */
const SLOW_BYTES = 64 * 1024;
/** CAN leaves any half-received sequence, RIS empties the terminal: in order with what is still being drawn. */
const FULL_RESET = new Uint8Array([0x18, 0x1b, 0x63]);

export type Renderer = "auto" | "webgl" | "dom";

export interface TerminalHandlers {
  /** `isAnswer`: the terminal's own, to what the program asks in what is being drawn. */
  onInput(bytes: Uint8Array, isAnswer?: boolean): void;
  onSize(cols: number, rows: number): void;
  onTitle(title: string): void;
  /** The pointer is over a link that leads to `target`, or left it (undefined). */
  onLinkHover(target: string | undefined): void;
  /** Nothing is drawn any more, for good: another terminal is to be opened in this one's place. */
  onDead(): void;
}

export interface TerminalOptions {
  fontSize: number;
  screenReader: boolean;
  /** Whether a Mac's Option key is Meta; else it writes what the layout has there, as `@` and `|`. */
  optionIsMeta: boolean;
  dark: boolean;
  renderer: Renderer;
  /** A spectator's terminal has the player's size, and letters as large as this window allows. */
  isLetterboxed: boolean;
}

export class GameTerminal {
  private readonly _xterm: Terminal;
  private readonly _fit = new FitAddon();
  private readonly _disposables = new Disposables();
  private readonly _encoder = new TextEncoder();
  private readonly _watch: DrawingWatch;
  private readonly _written: Written;
  private _search: SearchAddon | undefined;
  private _isDisposed = false;
  private _drawingHistory = 0;
  /** So many more bytes are drawn before a faster renderer is looked for. */
  private _untilFast = SLOW_BYTES;
  /** Whether the terminal has the size of another window, not of this one. */
  private _isHeld = false;
  private _fitFrame = 0;

  constructor(
    private readonly _host: HTMLElement,
    private readonly _handlers: TerminalHandlers,
    private readonly _options: TerminalOptions,
  ) {
    this._xterm = this._disposables.add(
      new Terminal({
        allowProposedApi: true, // For the server's widths.
        cursorBlink: true,
        cursorStyle: "bar",
        cursorWidth: 2,
        fontFamily: FONT_FAMILY,
        fontSize: _options.fontSize,
        lineHeight: 1.2,
        macOptionIsMeta: _options.optionIsMeta,
        rightClickSelectsWord: false,
        screenReaderMode: _options.screenReader,
        scrollback: SCROLLBACK_LINES,
        theme: _options.dark ? NIGHT : DAY,
        linkHandler: {
          activate: (_event, text) => openLink(text),
          hover: (_event, text) => this._handlers.onLinkHover(webLink(text)),
          leave: () => this._handlers.onLinkHover(undefined),
          allowNonHttpProtocols: false,
        },
      }),
    );
    this._xterm.loadAddon(this._fit);
    emulate(this._xterm, (text) => this._handleData(text));
    this._xterm.loadAddon(
      new WebLinksAddon((_event, text) => openLink(text), {
        hover: (_event, text) => this._handlers.onLinkHover(webLink(text)),
        leave: () => this._handlers.onLinkHover(undefined),
      }),
    );
    this._forbidClipboardAccess();
    this._xterm.open(this._host);
    this._xterm.textarea?.setAttribute("aria-describedby", "leave-help");
    this._written = this._disposables.add(followWriting(this._host, this._xterm));
    this._setRenderer("dom");
    if (_options.renderer === "webgl") void this._loadWebgl();
    if (_options.renderer !== "auto") this._untilFast = Infinity;
    this._watch = this._disposables.add(new DrawingWatch(later, () => this._handlers.onDead()));
    this._listen();
    this.fitNow();
  }

  get size(): { cols: number; rows: number } {
    return { cols: this._xterm.cols, rows: this._xterm.rows };
  }

  get selection(): string {
    return this._xterm.getSelection();
  }

  get background(): string {
    return this._xterm.options.theme?.background ?? "";
  }

  get applicationCursor(): boolean {
    return this._xterm.modes.applicationCursorKeysMode;
  }

  /** Draws output; `drawn` is called once it is parsed. Answers to questions in `history` are held back. */
  write(bytes: Uint8Array, drawn: () => void, history = false): void {
    const watched = this._watch.begin();
    this._untilFast -= bytes.length;
    if (this._untilFast <= 0) this._speedUp();
    if (history) this._drawingHistory += 1;
    this._xterm.write(bytes, () => {
      watched();
      if (history) this._drawingHistory -= 1;
      drawn();
    });
  }

  /** Empties screen, scrollback and modes once everything written so far is drawn. */
  restart(): void {
    this._xterm.write(FULL_RESET);
  }

  /** Draws a whole screen of this size, in order with what is still being drawn, and keeps the size. */
  showScreen(cols: number, rows: number, data: string, drawn: () => void): void {
    this.hold(cols, rows);
    this.write(this._encoder.encode(data), drawn, true);
  }

  /** Gives the terminal this size, whatever the window's, once everything written so far is drawn. */
  hold(cols: number, rows: number): void {
    this._xterm.write("", () => {
      this._isHeld = true;
      if (cols !== this._xterm.cols || rows !== this._xterm.rows) this._xterm.resize(cols, rows);
      if (this._options.isLetterboxed) this._fitLetters();
      this._showSize();
    });
  }

  /** Back to the window's size. */
  release(): void {
    if (!this._isHeld || this._options.isLetterboxed) return;
    this._isHeld = false;
    this.fitNow();
    // The window may have changed meanwhile, or not at all: the player's size is told either way.
    this._handlers.onSize(this._xterm.cols, this._xterm.rows);
  }

  /** As if typed: goes through the same way as a real key. */
  type(data: string): void {
    this._written.forget();
    this._xterm.input(data, true);
  }

  paste(text: string): void {
    const clean = cleanPaste(text);
    if (clean === "") return;
    this._written.forget();
    this._xterm.paste(clean);
  }

  /** Selects the next match, or the one before, and scrolls there; whether there is one, or undefined when it can't search now. */
  async find(text: string, isBack: boolean): Promise<boolean | undefined> {
    const part = this._search === undefined ? await loadPart("search") : undefined;
    if (this._search === undefined && part !== undefined) {
      this._search = new part.SearchAddon();
      this._xterm.loadAddon(this._search);
    }
    return isBack ? this._search?.findPrevious(text) : this._search?.findNext(text);
  }

  focus(): void {
    this._xterm.focus();
  }

  setDark(dark: boolean): void {
    this._xterm.options.theme = dark ? NIGHT : DAY;
  }

  setFontSize(size: number): void {
    if (this._options.isLetterboxed) return;
    this._xterm.options.fontSize = size;
    this.fitNow();
  }

  setScreenReader(on: boolean): void {
    this._xterm.options.screenReaderMode = on;
  }

  setOptionIsMeta(on: boolean): void {
    this._xterm.options.macOptionIsMeta = on;
  }

  /** Whether keystrokes are taken at all; a spectator's and an ended game's are not. */
  setReadOnly(readOnly: boolean): void {
    this._xterm.options.disableStdin = readOnly;
    this._xterm.options.cursorBlink = !readOnly;
  }

  /** Everything on screen and in the scrollback as plain text, lines joined where the terminal wrapped them. */
  transcript(): string {
    const { active } = this._xterm.buffer;
    const lines: string[] = [];
    for (let row = 0; row < active.length; row += 1) {
      const line = active.getLine(row);
      if (line === undefined) continue;
      const isWrapped = line.isWrapped && lines.length > 0;
      // Spaces at the end of a line that goes on in the next one belong to the text.
      const text = line.translateToString(!(active.getLine(row + 1)?.isWrapped ?? false));
      if (isWrapped) lines[lines.length - 1] += text;
      else lines.push(text);
    }
    return lines.join("\n").replace(/\n+$/, "\n");
  }

  /** Takes the size of the host element now, unless another size is held. */
  fitNow(): void {
    if (this._isHeld) {
      if (this._options.isLetterboxed) this._fitLetters();
      return;
    }
    const size = this._fit.proposeDimensions();
    if (size === undefined || !Number.isFinite(size.cols) || !Number.isFinite(size.rows)) return;
    const { cols, rows } = within(size);
    if (cols !== this._xterm.cols || rows !== this._xterm.rows) this._xterm.resize(cols, rows);
    this._showSize();
  }

  /** The largest letters with which the held size fits into the host element. */
  private _fitLetters(): void {
    const { cols, rows } = this._xterm;
    this._xterm.options.fontSize = largestFitting((fontSize) => {
      this._xterm.options.fontSize = fontSize;
      const room = this._fit.proposeDimensions();
      return room !== undefined && room.cols >= cols && room.rows >= rows;
    });
  }

  private _showSize(): void {
    this._host.dataset["cols"] = String(this._xterm.cols);
    this._host.dataset["rows"] = String(this._xterm.rows);
  }

  dispose(): void {
    this._isDisposed = true;
    this._disposables.dispose();
  }

  private _listen(): void {
    const { _disposables: disposables, _xterm: xterm } = this;
    disposables.add(xterm.onData((data) => this._handleData(data)));
    disposables.add(xterm.onBinary((data) => this._handlers.onInput(Uint8Array.from(data, (char) => char.charCodeAt(0) & 0xff))));
    disposables.add(xterm.onResize(({ cols, rows }) => {
      if (!this._isHeld) this._handlers.onSize(cols, rows);
    }));
    disposables.add(xterm.onTitleChange((title) => this._handlers.onTitle(cleanTitle(title))));
    xterm.attachCustomKeyEventHandler((event) => this._handleKey(event));
    // What it throws within its writer is told to nobody else.
    disposables.listen(window, "error", () => this._watch.suspect());
    // Before xterm.js sees it: its own handling keeps ESC in the pasted text.
    disposables.listen(this._host, "paste", (event) => this._handlePaste(event as ClipboardEvent), { capture: true });
    disposables.add(scrollByTouch(this._host, xterm));

    const observer = new ResizeObserver(() => this._fitSoon());
    observer.observe(this._host);
    disposables.add({ dispose: () => observer.disconnect() });
    disposables.add({ dispose: () => cancelAnimationFrame(this._fitFrame) });
  }

  /** One fit a frame, however often the size changes in between. */
  private _fitSoon(): void {
    cancelAnimationFrame(this._fitFrame);
    this._fitFrame = requestAnimationFrame(() => this.fitNow());
  }

  private _handleData(data: string): void {
    const isAnswer = isTerminalAnswer(data);
    if (this._drawingHistory > 0 && isAnswer) return;
    this._handlers.onInput(this._encoder.encode(data), isAnswer);
  }

  /** False keeps a key from the program. */
  private _handleKey(event: KeyboardEvent): boolean {
    // Where nothing can be typed, Tab leads on and Escape closes as everywhere else.
    if ((event.key === "Tab" || event.key === "Escape") && this._xterm.options.disableStdin === true) return false;
    if (isCtrlShift(event, "C")) {
      if (event.type === "keydown") this._copy();
      event.preventDefault(); // Else the browser opens its inspector.
      return false;
    }
    // The browser's own Ctrl-Shift-V pastes; it only must not reach the program as well.
    return !isCtrlShift(event, "V");
  }

  private _handlePaste(event: ClipboardEvent): void {
    event.stopImmediatePropagation();
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (text === "") return;
    event.preventDefault();
    this.paste(text);
  }

  private _copy(): void {
    const text = this._xterm.getSelection();
    if (text === "") return;
    void copyText(text).then(() => this.focus());
  }

  /** OSC 52 would let a program read or plant the player's clipboard. */
  private _forbidClipboardAccess(): void {
    this._disposables.add(this._xterm.parser.registerOscHandler(52, () => true));
  }

  /**
   * WebGL is several times faster, but only on a real graphics card: drawn by software it is slower than the
   * DOM, which is also what stays when the card's context is lost. To find out takes a slow machine half a second, for
   * which no prompt should wait, and who only types has nothing from it.
   */
  private _speedUp(): void {
    this._untilFast = Infinity;
    this._disposables.add(whenIdle(() => {
      if (hasGraphicsCard()) void this._loadWebgl();
    }));
  }

  private async _loadWebgl(): Promise<void> {
    const part = await loadPart("webgl");
    if (part === undefined || this._isDisposed) return;
    try {
      const webgl = new part.WebglAddon();
      webgl.onContextLoss(() => {
        webgl.dispose();
        this._setRenderer("dom");
      });
      this._xterm.loadAddon(webgl);
      this._setRenderer("webgl");
      this.fitNow();
    } catch {
      // No WebGL after all: the DOM renderer is still there.
    }
  }

  private _setRenderer(renderer: Exclude<Renderer, "auto">): void {
    this._host.dataset["renderer"] = renderer;
    // The DOM renderer of 6.0.0 compares inverse text with the wrong background and turns it grey.
    this._xterm.options.minimumContrastRatio = renderer === "webgl" ? 4.5 : 1;
  }
}

/** Calls back when the page has nothing to do, or after a second at last. */
function whenIdle(callback: () => void): Disposable {
  // Safari has no idle callbacks.
  if (!("requestIdleCallback" in window)) {
    const timer = setTimeout(callback, 200);
    return { dispose: () => clearTimeout(timer) };
  }
  const wish = window.requestIdleCallback(callback, { timeout: 1_000 });
  return { dispose: () => window.cancelIdleCallback(wish) };
}

/** Chromium lets its software renderer pass for a card, so its name has to be looked at, too. */
function hasGraphicsCard(): boolean {
  const context = document.createElement("canvas").getContext("webgl2", { failIfMajorPerformanceCaveat: true });
  if (context === null) return false;
  const info = context.getExtension("WEBGL_debug_renderer_info");
  const name = String(context.getParameter(info === null ? context.RENDERER : info.UNMASKED_RENDERER_WEBGL));
  context.getExtension("WEBGL_lose_context")?.loseContext();
  return !/swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

function later(ms: number, callback: () => void): () => void {
  const timer = window.setTimeout(callback, ms);
  return () => window.clearTimeout(timer);
}

function openLink(text: string): void {
  const target = webLink(text);
  if (target !== undefined) window.open(target, "_blank", "noopener,noreferrer");
}
