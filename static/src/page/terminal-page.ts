/**
 * The terminal page: ties the connection (no DOM) to the terminal (no network) and to what is shown around it.
 *
 *   keys ─▶ terminal ─▶ connection ─▶ server
 *           terminal ◀─ connection ◀─ server
 *                          └─ state ─▶ status bar, ribbon, card
 */

import { createSession, isOutdated, newestBook, sessionStatus, versionPath, wantsUpgrade, watchStatus } from "../net/api";
import type { Failure } from "../net/api";
import { readCast } from "../net/cast";
import { readText } from "./clipboard";
import { Connection } from "../net/connection";
import type { Socket, State } from "../net/connection";
import { Countdown } from "./countdown";
import { need } from "./dom";
import { earlyClient, takeEarly } from "../net/early";
import type { Notice, Role } from "../net/frames";
import { FindBar } from "./find-bar";
import { HelpPanel } from "./help-panel";
import { KeyBar } from "./key-bar";
import { browserMemory, clampFontSize } from "./memory";
import { Card, Ribbon } from "./panels";
import { PlainText } from "./plain-text";
import { Replay } from "./replay";
import { saveFile } from "./save-file";
import { createWatchLink, dropRecording, fetchRecording, revokeWatchLinks, startRecording } from "../net/share-api";
import { SharePanel } from "./share-panel";
import { bookLine, spellCount } from "./spellbook";
import { StatusBar } from "./status-bar";
import { GameTerminal } from "./terminal";
import type { Renderer } from "./terminal";
import { showTabIcon } from "./tab-icon";
import { applyTheme, isDark, onSystemTheme } from "./theme";
import type { Theme } from "./themes";
import { TimeLeft } from "./time-left";
import { randomUuid } from "../net/uuid";
import { isFocusLost, openWayOut } from "./way-out";
import { cardWords, lostKeysWords, OUTDATED_WORDS, statusWords, tabTitle, unsentWords, waitingWords } from "./words";

/** A dragged window changes its size sixty times a second; the program is told when it rests. */
const RESIZE_REST_MS = 80;
/** A wait shorter than this is shown by the mark alone. */
const RIBBON_AFTER_MS = 1_500;
/** By then the spellbook of a game that has ended is mostly saved. */
const BOOK_PAUSE_MS = 3_000;

const { sessionId = "", shell = "", wsUrl = "" } = document.body.dataset;
const role: Role = document.body.dataset["role"] === "spectator" ? "spectator" : "player";
const memory = browserMemory();
let settings = memory.settings();
const remembered = role === "player" ? memory.find(sessionId) : undefined;
const token = remembered?.token;
let resizeTimer: number | undefined;
let retryTicker: number | undefined;
/** Whether this page was connected before. */
let isBack = false;
/** Whether a new game is on its way: whoever asks twice gets one. */
let isStarting = false;
/** What the program calls its window. */
let programTitle = "";
/** Whether the server can keep the spellbook: until it says otherwise. */
let hasRoomForBook = true;

const connection = new Connection(
  wsUrl,
  {
    open: (url, protocol) => takeEarly(url) ?? (new WebSocket(url, protocol) as Socket),
    probe: () => (role === "spectator" ? watchStatus(location.pathname) : sessionStatus(sessionId, token)),
    wantsUpgrade: () => wantsUpgrade(wsUrl, token),
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
    onScreen: ({ cols, rows, data }, drawn) => terminal.showScreen(cols, rows, data, drawn),
    onCaughtUp: () => terminal.release(),
    onNotice: showNotice,
    onLatency: (ms) => statusBar.showLatency(ms),
    onLostKeys: (bytes) => ribbon.hint(lostKeysWords(bytes), "warning"),
    onSpectators: (count) => share.showSpectators(count),
    onSize: (cols, rows) => terminal.hold(cols, rows),
  },
  { role, client: earlyClient() ?? randomUuid() },
);

applyTheme(settings.theme);
// All at once would hold up a slow browser for a third of a second.
await breathe();
let terminal = openTerminal();
await breathe();
const ribbon = new Ribbon();
const countdown = new Countdown(stay, (seconds) => {
  document.title = tabTitle(connection.state, programTitle, seconds);
});
const card = new Card({
  onNewGame: startNewGame,
  onTakeBack: () => connection.retry(),
  onRetry: () => location.reload(),
  onPlayRecording: () => void playRecording().then((failure) => failure && card.complain(failure.message)),
  onSaveRecording: () => void saveRecording().then((failure) => failure && card.complain(failure.message)),
});
const statusBar = new StatusBar({ onFontSize: changeFontSize, onScreenReader: changeScreenReader, onPointed: focusGame });
const keyBar = new KeyBar({
  onKey: (data) => terminal.type(data),
  onPaste: () => void pasteClipboard(),
  isApplicationCursor: () => terminal.applicationCursor,
});

const plainText = new PlainText({ read: () => terminal.transcript(), onClose: focusGame });

const share = new SharePanel({
  onShare: () => createWatchLink(sessionId, token),
  onUnshare: () => revokeWatchLinks(sessionId, token),
  onRecord: () => startRecording(sessionId, token),
  onDrop: () => dropRecording(sessionId, token),
  onPlay: playRecording,
  onDownload: saveRecording,
  onClose: focusGame,
});
const timeLeft = new TimeLeft({
  ask: async () => {
    const status = await sessionStatus(sessionId, token);
    if (status.kind !== "running") return undefined;
    // One that was started before this page was loaded, or elsewhere.
    if (status.recording !== undefined) share.learnRecording(status.recording);
    return status.endsIn;
  },
  onStay: stay,
});
const help = new HelpPanel({ onOptionIsMeta: changeOptionIsMeta, onTheme: changeTheme, onClose: focusGame });
new FindBar({ onFind: (text, isBack) => terminal.find(text, isBack), onClose: focusGame });

const replay = new Replay(() => isFocusLost() && focusGame());

start();

/** Lets the browser do what waits. */
function breathe(): Promise<void> {
  return new Promise((resolve) => window.setTimeout(resolve));
}

function openTerminal(): GameTerminal {
  return new GameTerminal(
    need("terminal", HTMLElement),
    { onInput: handleInput, onSize: handleSize, onTitle: showTitle, onLinkHover: showLinkTarget, onDead: reopenTerminal },
    { ...settings, dark: isDark(), renderer: wantedRenderer(), isLetterboxed: role === "spectator" },
  );
}

/** What a test, or a curious player at the browser's console, may see of the terminal there is now. */
function terminalLooks(): Record<"transcript" | "selection" | "background", () => string> {
  return {
    transcript: () => terminal.transcript(),
    selection: () => terminal.selection,
    background: () => terminal.background,
  };
}

/** A terminal that has died shows what it drew last, and nothing else ever. */
function reopenTerminal(): void {
  if (connection.state.kind === "ended") return;
  terminal.dispose();
  terminal = openTerminal();
  connection.redraw();
}

function start(): void {
  if (role === "player" && remembered === undefined) memory.remember({ id: sessionId, shell, startedAt: Date.now() });
  statusBar.setScreenReader(settings.screenReader);
  help.show(settings);
  document.addEventListener("visibilitychange", () => connection.setVisible(document.visibilityState === "visible"));
  window.addEventListener("online", () => connection.nudge());
  window.addEventListener("offline", () => connection.loseNetwork());
  window.addEventListener("pageshow", () => {
    isStarting = false; // Somebody came back from the new game.
    connection.nudge();
  });
  onSystemTheme(() => terminal.setDark(isDark()));
  need("terminal", HTMLElement).addEventListener("click", () => terminal.focus());
  openWayOut(need("bar", HTMLElement), focusGame);
  followKeyboard();
  // For tests and the curious: what the terminal shows, which a canvas doesn't tell.
  const { transcript, selection, background } = terminalLooks();
  Object.assign(window, { shellcraft: { transcript, selection, background, size: () => terminal.size } });

  const { cols, rows } = terminal.size;
  connection.resize(cols, rows);
  connection.start();
  focusGame();
}

/** Gives the keys to the game, or to its text while that lies over it. */
function focusGame(): void {
  if (plainText.isOpen) plainText.focus();
  else terminal.focus();
}

// Keys and sizes, on their way out.

function handleInput(bytes: Uint8Array, isAnswer = false): void {
  if (connection.input(isAnswer ? bytes : keyBar.transform(bytes), isAnswer)) {
    countdown.stop();
    if (!isAnswer) timeLeft.noteKeys();
    return;
  }
  const words = unsentWords(connection.state);
  if (words !== undefined) ribbon.hint(words, "warning");
}

async function pasteClipboard(): Promise<void> {
  const text = await readText();
  if (text === undefined) ribbon.hint("The browser keeps its clipboard from this page. Allow it in the site's settings.", "warning");
  else terminal.paste(text);
}

/** The player is there, and has nothing to type. */
function stay(): void {
  if (connection.stay()) countdown.stop();
  focusGame();
}

function handleSize(cols: number, rows: number): void {
  window.clearTimeout(resizeTimer);
  resizeTimer = window.setTimeout(() => connection.resize(cols, rows), RESIZE_REST_MS);
}

// What the page shows.

function showState(state: State): void {
  document.body.dataset["state"] = state.kind;
  showTabIcon(state);
  window.clearInterval(retryTicker);
  statusBar.show(statusWords(state, performance.now()));
  terminal.setReadOnly(role === "spectator" || state.kind === "ended" || state.kind === "away");
  // A new connection tells the count and the warning again.
  if (state.kind !== "playing") {
    countdown.stop();
    timeLeft.stop();
    share.showSpectators(0);
  } else if (role === "player") {
    timeLeft.start();
  }

  if (state.kind === "waiting") {
    retryTicker = window.setInterval(() => statusBar.show(statusWords(state, performance.now())), 1_000);
    if (state.retryAt - performance.now() >= RIBBON_AFTER_MS) {
      ribbon.show(waitingWords(state, role), { label: "Try now", handle: () => connection.retry() });
    }
  } else if (state.kind !== "connecting") {
    ribbon.clear();
  }

  document.title = tabTitle(state, programTitle);
  const words = cardWords(state, role, hasRoomForBook);
  if (words !== undefined) card.show(words, share.isRecording && state.kind === "ended");
  else card.hide();
  if (role === "player" && state.kind === "ended" && state.ending.why !== "refused") void tellOfBook();
  if (state.kind === "connecting") isBack = state.again;
  if (state.kind === "playing") {
    // Whoever is somewhere else on the page stays there.
    if (isFocusLost()) focusGame();
    if (isBack) void offerReload();
  }
  if (role === "player" && state.kind === "ended" && state.ending.why !== "refused") memory.forget(sessionId);
}

/** The warning of an idle game's last minute counts down, what makes the game stand still is shown as long; others pass. */
function showNotice({ kind, level, text, endsIn }: Notice): void {
  if (kind === "no_room_for_book") hasRoomForBook = false;
  if (kind === "idle_warning" && endsIn !== undefined && role === "player") return countdown.start(endsIn);
  if (kind === "engine_away" || kind === "paused") return ribbon.show(text);
  if (kind === "engine_back" || kind === "resumed") ribbon.clear();
  ribbon.hint(text, level);
}

/** Tells of the newest version that is saved: the ended game's own may come a moment after the end. */
async function tellOfBook(): Promise<void> {
  for (const pause of [0, BOOK_PAUSE_MS]) {
    await new Promise((resolve) => window.setTimeout(resolve, pause));
    const newest = await newestBook();
    if (newest === undefined || connection.state.kind !== "ended") continue;
    const { version, text = "" } = newest;
    card.showBook(`Its newest version has ${bookLine(version.bytes, spellCount(text), Date.now() - version.savedAt)}.`, versionPath(version.sha256));
  }
}

/** While this page was away its server may have become another version, whose page is another. This one plays on. */
async function offerReload(): Promise<void> {
  const script = document.querySelector("script[src]")?.getAttribute("src") ?? "";
  if (!(await isOutdated(location.href, script)) || connection.state.kind !== "playing") return;
  const later = () => {
    ribbon.clear();
    focusGame();
  };
  ribbon.show(OUTDATED_WORDS, { label: "Reload", handle: () => location.reload() }, { label: "Later", handle: later });
}

function showTitle(title: string): void {
  statusBar.showTitle(title);
  programTitle = title;
  document.title = tabTitle(connection.state, programTitle);
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
}

function changeScreenReader(on: boolean): void {
  settings = memory.change({ screenReader: on });
  terminal.setScreenReader(on);
}

function changeOptionIsMeta(on: boolean): void {
  settings = memory.change({ optionIsMeta: on });
  terminal.setOptionIsMeta(on);
}

function changeTheme(theme: Theme): void {
  settings = memory.change({ theme });
  applyTheme(theme);
  terminal.setDark(isDark());
}

function saveRecording(): Promise<Failure | undefined> {
  return fetchRecording(sessionId, token).then((answer) => {
    if ("message" in answer) return answer;
    saveFile(answer, `shellcraft-${sessionId.slice(0, 8)}.cast`);
    return undefined;
  });
}

async function playRecording(): Promise<Failure | undefined> {
  const answer = await fetchRecording(sessionId, token);
  if ("message" in answer) return answer;
  const cast = readCast(await answer.text());
  if (cast === undefined) return { message: "The recording can't be read." };
  replay.open(cast, { ...settings, dark: isDark() });
  return undefined;
}

function startNewGame(): void {
  if (isStarting) return;
  isStarting = true;
  void createSession(shell).then((answer) => {
    if ("message" in answer) {
      isStarting = false;
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
