/**
 * The terminal page: ties the connection (no DOM) to the terminal (no network) and to what is shown around it.
 *
 *   keys ─▶ terminal ─▶ connection ─▶ server
 *           terminal ◀─ connection ◀─ server
 *                          └─ state ─▶ status bar, ribbon, card
 */

import { createSession, sessionStatus } from "./api";
import { Connection } from "./connection";
import type { Socket, State } from "./connection";
import { need } from "./dom";
import { KeyBar } from "./key-bar";
import { browserMemory, clampFontSize } from "./memory";
import { Card, Ribbon } from "./panels";
import { StatusBar } from "./status-bar";
import { GameTerminal } from "./terminal";
import type { Renderer } from "./terminal";
import { cardWords, statusWords, waitingWords } from "./words";

/** A dragged window changes its size sixty times a second; the program is told when it rests. */
const RESIZE_REST_MS = 80;
/** A wait shorter than this is shown by the mark alone. */
const RIBBON_AFTER_MS = 1_500;

const { sessionId = "", shell = "", wsUrl = "" } = document.body.dataset;
const memory = browserMemory();
let settings = memory.settings();
const token = memory.find(sessionId)?.token;
let resizeTimer: number | undefined;
let countdown: number | undefined;

const darkness = window.matchMedia("(prefers-color-scheme: dark)");
const ribbon = new Ribbon();
const card = new Card({ onNewGame: startNewGame, onTakeBack: () => connection.retry(), onRetry: () => location.reload() });
const statusBar = new StatusBar({ onFontSize: changeFontSize, onScreenReader: changeScreenReader });
const keyBar = new KeyBar({
  onKey: (data) => terminal.type(data),
  isApplicationCursor: () => terminal.applicationCursor,
});

const terminal = new GameTerminal(
  need("terminal", HTMLElement),
  { onInput: handleInput, onSize: handleSize, onTitle: showTitle, onLinkHover: showLinkTarget },
  { ...settings, dark: darkness.matches, renderer: wantedRenderer() },
);

const connection = new Connection(
  wsUrl,
  {
    open: (url, protocol) => new WebSocket(url, protocol) as Socket,
    probe: () => sessionStatus(sessionId, token),
    now: () => performance.now(),
    random: () => Math.random(),
    later: (ms, callback) => {
      const timer = window.setTimeout(callback, ms);
      return () => window.clearTimeout(timer);
    },
  },
  {
    onState: showState,
    onOutput: (bytes, drawn, history) => terminal.write(bytes, drawn, history),
    onRestart: () => terminal.restart(),
    onNotice: (level, text) => ribbon.hint(text, level),
    onLatency: (ms) => statusBar.showLatency(ms),
  },
);

start();

function start(): void {
  if (memory.find(sessionId) === undefined) memory.remember({ id: sessionId, shell, startedAt: Date.now() });
  statusBar.setScreenReader(settings.screenReader);
  document.addEventListener("visibilitychange", () => connection.setVisible(document.visibilityState === "visible"));
  window.addEventListener("online", () => connection.nudge());
  window.addEventListener("pageshow", () => connection.nudge());
  darkness.addEventListener("change", () => terminal.setDark(darkness.matches));
  need("terminal", HTMLElement).addEventListener("click", () => terminal.focus());
  followKeyboard();
  // For tests and the curious: what the terminal shows, which a canvas doesn't tell.
  Object.assign(window, { shellcraft: { transcript: () => terminal.transcript(), size: () => terminal.size } });

  const { cols, rows } = terminal.size;
  connection.resize(cols, rows);
  connection.start();
  terminal.focus();
}

// Keys and sizes, on their way out.

function handleInput(bytes: Uint8Array): void {
  if (connection.input(keyBar.transform(bytes))) return;
  const { state } = connection;
  if (state.kind === "waiting" || state.kind === "connecting") {
    ribbon.hint("Not connected: what you type now is not sent.", "warning");
  } else if (state.kind === "playing" && state.role === "player") {
    ribbon.hint("The network has stopped: what you type now is not sent.", "warning");
  }
}

function handleSize(cols: number, rows: number): void {
  window.clearTimeout(resizeTimer);
  resizeTimer = window.setTimeout(() => connection.resize(cols, rows), RESIZE_REST_MS);
}

// What the page shows.

function showState(state: State): void {
  document.body.dataset["state"] = state.kind;
  window.clearInterval(countdown);
  statusBar.show(statusWords(state, performance.now()));
  terminal.setReadOnly(state.kind === "ended" || state.kind === "away" || (state.kind === "playing" && state.role === "spectator"));

  if (state.kind === "waiting") {
    countdown = window.setInterval(() => statusBar.show(statusWords(state, performance.now())), 1_000);
    if (state.retryAt - performance.now() >= RIBBON_AFTER_MS) {
      ribbon.show(waitingWords(state), { label: "Try now", handle: () => connection.retry() });
    }
  } else if (state.kind !== "connecting") {
    ribbon.clear();
  }

  const words = cardWords(state);
  if (words !== undefined) card.show(words);
  else card.hide();
  if (state.kind === "playing") terminal.focus();
  if (state.kind === "ended" && state.ending.why !== "refused") memory.forget(sessionId);
}

function showTitle(title: string): void {
  statusBar.showTitle(title);
  document.title = title === "" ? "ShellCraft" : `${title} · ShellCraft`;
}

/** A link's text may promise anything; its target is shown before it is followed. */
function showLinkTarget(target: string | undefined): void {
  const hint = need("link-target", HTMLElement);
  hint.textContent = target ?? "";
  hint.hidden = target === undefined;
}

// What the player wishes.

function changeFontSize(step: 1 | -1): void {
  settings = memory.change({ fontSize: clampFontSize(settings.fontSize + step) });
  terminal.setFontSize(settings.fontSize);
  terminal.focus();
}

function changeScreenReader(on: boolean): void {
  settings = memory.change({ screenReader: on });
  terminal.setScreenReader(on);
  terminal.focus();
}

function startNewGame(): void {
  void createSession(shell).then((answer) => {
    if ("message" in answer) {
      const again = answer.retryAfter === undefined ? "" : ` Try again in ${answer.retryAfter} s.`;
      card.complain(answer.message + again);
      return;
    }
    const { sessionId: id, shell: name, token: ticket, connectUrl } = answer;
    memory.remember({ id, shell: name, startedAt: Date.now(), ...(ticket === undefined ? {} : { token: ticket }) });
    location.assign(connectUrl);
  });
}

/** A phone's keyboard covers half the page without telling the layout; the visual viewport knows. */
function followKeyboard(): void {
  const viewport = window.visualViewport;
  if (viewport === null) return;
  const follow = () => {
    // A pinch zoom changes the same number, but is no reason to redraw the terminal.
    if (viewport.scale > 1.01) return;
    document.documentElement.style.setProperty("--visible-height", `${Math.floor(viewport.height)}px`);
  };
  viewport.addEventListener("resize", follow);
  follow();
}

function wantedRenderer(): Renderer {
  const wanted = new URLSearchParams(location.search).get("renderer");
  return wanted === "dom" || wanted === "webgl" ? wanted : "auto";
}
