/** The landing page: choose a shell and start, or go on with a game that still runs. */

import {
  bookVersions, createSession, endSession, logOut, newestBook, path, restoreVersion, sessionStatus, uploadBook, versionPath,
} from "../net/api";
import type { BookVersion, Running } from "../net/api";
import { make, makeButton, need } from "./dom";
import { browserMemory } from "./memory";
import type { RememberedSession } from "./memory";
import { fetchAhead } from "./parts";
import { watchQueue } from "../net/queue-line";
import { offerRecovery } from "./recovery";
import { bookFault, bookLine, sizeText, spellCount, timeAgo } from "./spellbook";
import { applyTheme } from "./theme";
import { randomUuid } from "../net/uuid";
import { queueWords } from "./words";

const memory = browserMemory();
applyTheme(memory.settings().theme);
const form = need("start", HTMLFormElement);
const button = need("start-button", HTMLButtonElement);
const message = need("message", HTMLElement);
const running = need("running", HTMLElement);
const list = need("running-list", HTMLElement);
const book = need("book", HTMLDetailsElement);
const versions = need("book-list", HTMLElement);
const bookState = need("book-state", HTMLElement);
const bookFile = need("book-file", HTMLInputElement);

/** What is only read aloud. */
const aloud = need("aloud", HTMLElement);

/** Counts attempts, so that a cancelled one that still answers changes nothing. */
let attempt = 0;
let countdown: number | undefined;
/** Whether a game is being started: whoever asks twice gets one. */
let isBusy = false;
/** Whether the server knows the player: others have no book, and may be refused the question. */
let isKnown = book.dataset["known"] !== undefined;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  void startGame();
});
// Coming back by the browser's own button shows the page as it was left.
window.addEventListener("pageshow", (event) => {
  if (!event.persisted) return;
  setBusy(false);
  void listRunning();
  void listVersions();
});
need("book-upload", HTMLButtonElement).addEventListener("click", () => bookFile.click());
bookFile.addEventListener("change", () => void sendBook());
// There only where players log in.
document.getElementById("logout")?.addEventListener("click", () => void leave());
offerRecovery({
  say,
  // A first game that still runs has saved nothing yet.
  hasBook: () => versions.children.length > 0 || list.children.length > 0,
  onRecovered: () => {
    isKnown = true;
    void listRunning();
    void listVersions();
    say("This browser has the spellbook of that code now.");
  },
});
preselect();
// Where an ended game's page leads to.
book.open = location.hash === "#book";
void listRunning();
void listVersions();
void fetchAhead("early", "terminal");

// Starting.

async function startGame(): Promise<void> {
  if (isBusy) return;
  const shell = String(new FormData(form).get("shell") ?? "");
  const mine = (attempt += 1);
  window.clearInterval(countdown);
  memory.change({ shell });
  setBusy(true);
  say("");
  const ticket = randomUuid();
  const stopWatching = watchQueue(ticket, showPlace());
  const answer = await createSession(shell, ticket);
  stopWatching();
  if (mine !== attempt) return;
  say("");
  if ("message" in answer) {
    setBusy(false);
    if (answer.running !== undefined) return offer(answer.message, answer.running);
    if (answer.retryAfter === undefined) say(answer.message);
    else waitAndRetry(answer.message, answer.retryAfter);
    return;
  }
  isKnown = true;
  const { sessionId: id, shell: name, token, connectUrl } = answer;
  memory.remember({ id, shell: name, startedAt: Date.now(), ...(token === undefined ? {} : { token }) });
  location.assign(connectUrl);
}

/** Shows the place in the queue. It is read aloud when it changes, not with every second of the estimate. */
function showPlace(): Parameters<typeof watchQueue>[1] {
  const aloud = make("span", "off-screen");
  const line = make("span");
  line.setAttribute("aria-hidden", "true");
  let told: number | "starting" | undefined;
  return (place) => {
    // Into a region that is there already: what appears together with its region is not read.
    if (line.parentElement !== message) message.replaceChildren(aloud, line);
    message.hidden = false;
    const words = place === undefined ? "The shell is being started." : queueWords(place);
    const telling = place?.place ?? "starting";
    line.textContent = words;
    if (telling !== told) aloud.textContent = words;
    told = telling;
  };
}

/** As many games as there may be: they are listed to go on with, those that another tab or browser has started too. */
async function offer(text: string, games: readonly Running[]): Promise<void> {
  for (const { sessionId: id, shell, startedAt } of games) {
    if (memory.find(id) === undefined) memory.remember({ id, shell, startedAt });
  }
  await listRunning();
  say(text);
  list.querySelector("a")?.focus();
}

/** Full or not ready: says so, counts down and tries by itself, until it works or the player has enough. */
function waitAndRetry(text: string, seconds: number): void {
  let left = Math.max(1, seconds);
  const cancel = makeButton("small", "Stop trying", () => {
    window.clearInterval(countdown);
    attempt += 1;
    say("");
    button.focus();
  });
  const line = make("span");
  // Only the sentence is announced; a number that changes every second is not.
  const count = make("span");
  count.setAttribute("aria-hidden", "true");
  line.append(`${text} `, count);
  message.replaceChildren(line, cancel);
  message.hidden = false;
  const show = () => (count.textContent = `Retry in ${left} s. `);
  show();
  countdown = window.setInterval(() => {
    left -= 1;
    show();
    if (left <= 0) void startGame();
  }, 1_000);
}

function setBusy(busy: boolean): void {
  isBusy = busy;
  // A disabled button would lose the focus.
  button.setAttribute("aria-disabled", String(busy));
  button.setAttribute("aria-busy", String(busy));
  need("start-label", HTMLElement).textContent = busy ? "Opening the book…" : "Start a game";
}

function say(text: string): void {
  message.textContent = text;
  message.hidden = text === "";
}

/** The shell chosen last time, if it is still offered. */
function preselect(): void {
  const { shell } = memory.settings();
  for (const radio of form.querySelectorAll<HTMLInputElement>('input[name="shell"]')) {
    if (radio.value === shell && !radio.disabled) radio.checked = true;
  }
}

// Running games.

async function listRunning(): Promise<void> {
  const sessions = memory.sessions();
  const statuses = await Promise.all(sessions.map(({ id, token }) => sessionStatus(id, token)));
  const rows: HTMLElement[] = [];
  sessions.forEach((session, index) => {
    const status = statuses[index];
    if (status?.kind === "running") rows.push(row(session));
    // An unreachable server knows nothing; everything else means that there is nothing to come back to.
    else if (status?.kind === "gone" || status?.kind === "stopped") memory.forget(session.id);
  });
  list.replaceChildren(...rows);
  running.hidden = rows.length === 0;
}

function row(session: RememberedSession): HTMLElement {
  const item = make("li");
  const link = make("a", "primary small", "Continue");
  link.href = `${path(session.id)}/connect`;
  const name = make("span", "name", shellTitle(session.shell));
  const age = make("span", "age", `started ${timeAgo(Date.now() - session.startedAt)}`);
  const end = makeButton("small quiet", "End", () => void endGame(session, item, end));
  const which = `${name.textContent}, ${age.textContent}`;
  link.setAttribute("aria-label", `Continue ${which}`);
  end.dataset["which"] = which;
  ask(end, false);
  const choices = make("span", "choices");
  choices.append(link, end);
  item.append(name, age, choices);
  return item;
}

async function endGame(session: RememberedSession, item: HTMLElement, end: HTMLButtonElement): Promise<void> {
  // The first press asks, the second one acts: a running game is not lost by a slip.
  if (end.dataset["sure"] === undefined) {
    ask(end, true);
    end.focus(); // Safari gives a button that is clicked no focus.
    end.addEventListener("blur", () => ask(end, false), { once: true });
    return;
  }
  if (end.ariaDisabled === "true") return;
  end.ariaDisabled = "true"; // A disabled button would lose the focus.
  const failure = await endSession(session.id, session.token);
  end.ariaDisabled = null;
  if (failure !== undefined) return say(failure.message);
  memory.forget(session.id);
  const hadFocus = item.contains(document.activeElement);
  const neighbour = item.nextElementSibling ?? item.previousElementSibling;
  item.remove();
  running.hidden = list.children.length === 0;
  if (hadFocus) (neighbour?.querySelector("a") ?? button).focus();
  say("The game is ended. Its spellbook is kept.");
  void listVersions();
}

/** Lets the button ask whether the game is really to be ended, aloud as well, or offer that again. */
function ask(end: HTMLButtonElement, isSure: boolean): void {
  const which = end.dataset["which"] ?? "";
  if (isSure) end.dataset["sure"] = "yes";
  else delete end.dataset["sure"];
  end.textContent = isSure ? "Really end?" : "End";
  end.setAttribute("aria-label", `${isSure ? "Really end" : "End"} ${which}`);
  aloud.textContent = isSure ? `Really end ${which}? Press once more.` : "";
}

// The spellbook.

async function listVersions(): Promise<void> {
  if (!isKnown) return;
  const [found, newest] = await Promise.all([bookVersions(), newestBook()]);
  versions.replaceChildren(...found.map(versionRow));
  const { version, text = "" } = newest ?? {};
  bookState.textContent = version === undefined ? "" : bookLine(version.bytes, spellCount(text), Date.now() - version.savedAt);
}

/** Makes a file of the player's own the newest version. */
async function sendBook(): Promise<void> {
  const [file] = bookFile.files ?? [];
  if (file === undefined) return;
  const bytes = new Uint8Array(await file.arrayBuffer());
  bookFile.value = ""; // Else the same file could not be chosen again.
  const failure = bookFault(bytes) ?? (await uploadBook(bytes))?.message;
  if (failure !== undefined) return say(failure);
  isKnown = true;
  await listVersions();
  const spells = spellCount(new TextDecoder().decode(bytes));
  const what = spells === undefined ? "No spell that our shells can read was found in it." : `It has ${spells === 1 ? "one spell" : `${spells} spells`}.`;
  say(`Your next game begins with that spellbook. ${what}`);
}

function versionRow(version: BookVersion, index: number): HTMLElement {
  const item = make("li");
  const kind = index === 0 ? "the newest" : version.setAside ? "set aside" : "before that";
  const age = `${kind}, saved ${timeAgo(Date.now() - version.savedAt)}, ${sizeText(version.bytes)}`;
  const download = make("a", "small", "Download");
  download.href = versionPath(version.sha256);
  download.download = "spellbook.dat";
  download.setAttribute("aria-label", `Download the version ${age}`);
  item.append(make("span", "age", age), download);
  if (index > 0) {
    const restore = makeButton("small quiet", "Restore", () => void restoreBook(version, restore));
    restore.setAttribute("aria-label", `Restore the version ${age}`);
    item.append(restore);
  }
  return item;
}

async function restoreBook(version: BookVersion, restore: HTMLButtonElement): Promise<void> {
  restore.disabled = true;
  const failure = await restoreVersion(version.sha256);
  restore.disabled = false;
  if (failure !== undefined) {
    restore.focus();
    return say(failure.message);
  }
  await listVersions();
  book.querySelector("summary")?.focus();
  say("Your next game begins with that spellbook. The one before is set aside.");
}

/** The games go on, and are listed again after the next login; the server closes their terminals. */
async function leave(): Promise<void> {
  const failure = await logOut();
  if (failure !== undefined) return say(failure.message);
  await listRunning();
  say("You have logged out. Log in again to go on with your games.");
}

/** The title of a shell as the page offers it. */
function shellTitle(name: string): string {
  for (const radio of form.querySelectorAll<HTMLInputElement>('input[name="shell"]')) {
    if (radio.value === name) return radio.dataset["title"] ?? name;
  }
  return name;
}
