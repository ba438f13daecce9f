/** The operator's page: logs in, asks every two seconds while it is seen, and carries out what is confirmed. */

import { type Answer, type Aside, type Health, type Row, type Shell, ask, health, rows, sentence } from "../net/admin-api";
import { COLUMNS, type Order, arranged, bytes, duration, points } from "./admin-table";
import { make, makeButton, need } from "./dom";

const EVERY_MS = 2000;
/** When the Engine is away, everything is set aside. */
const ASIDE_SHOWN = 8;
const SVG = "http://www.w3.org/2000/svg";

const board = need("board", HTMLElement);
const login = need("login", HTMLFormElement);
const token = need("token", HTMLInputElement);
const headActions = need("head-actions", HTMLElement);
const filter = need("filter", HTMLInputElement);
const body = need("games", HTMLTableSectionElement);
const dialog = need("ask", HTMLDialogElement);
const words = need("words", HTMLInputElement);

let known: Row[] = [];
let order: Order = { key: "age", isDescending: false };
let lastOut: number | undefined;
let timer: number | undefined;
let isAsking = false;
/** Whether a drain was ordered: then the server's end is no trouble. */
let isDrained = false;

function say(text: string): void {
  const said = need("said", HTMLElement);
  if (said.textContent !== text) said.textContent = text;
}

async function refresh(): Promise<void> {
  window.clearTimeout(timer);
  if (document.hidden || isAsking) return;
  isAsking = true;
  const [state, sessions] = await Promise.all([ask("GET", "/admin/health"), ask("GET", "/sessions")]);
  isAsking = false;
  if (state.status === 401 || state.status === 403) return showLogin(state);
  login.hidden = true;
  if (state.status === 200 && sessions.status === 200) {
    board.hidden = headActions.hidden = false;
    if (need("said", HTMLElement).dataset["kind"] === "away") tell("", "");
    known = rows(sessions.body);
    showHealth(health(state.body));
    showRows();
  } else if (isDrained && state.status === 0) {
    board.hidden = headActions.hidden = true;
    return tell("The server is drained and has ended.", "");
  } else {
    tell(sentence(state.status === 200 ? sessions : state), "away");
  }
  timer = window.setTimeout(() => void refresh(), EVERY_MS);
}

function tell(text: string, kind: string): void {
  need("said", HTMLElement).dataset["kind"] = kind;
  say(text);
}

function showLogin(answer: Answer): void {
  const isNew = login.hidden;
  board.hidden = headActions.hidden = true;
  login.hidden = false;
  if (answer.status === 403) tell(sentence(answer), "");
  if (isNew) token.focus();
}

function showHealth(now: Health): void {
  const out = known.reduce((sum, row) => sum + row.bytesOut, 0);
  // A game that ended takes its bytes along.
  const rate = Math.max(0, out - (lastOut ?? out)) / (EVERY_MS / 1000);
  lastOut = out;
  need("build", HTMLElement).textContent = `${now.instance} · ${now.version} · up ${duration(now.uptime)}`;
  isDrained = now.draining;
  need("drain", HTMLButtonElement).disabled = now.draining && now.drainsIn === undefined;
  need("undo", HTMLButtonElement).hidden = now.drainsIn === undefined;
  need("tiles", HTMLElement).replaceChildren(
    tile("Games", `${now.sessions} of ${now.maxSessions}`, "", chart([...now.history.sessions, now.sessions])),
    tile("Output", `${bytes(Math.round(rate))}/s`, "", chart([...now.history.output, rate])),
    tile("Queue", String(now.queue), "", chart([...now.history.queue, now.queue])),
    tile("Pool", now.poolSize === 0 ? "off" : `${now.pool} ready`, ""),
    tile("Engine", now.engine.ok ? "answers" : "away", now.engine.ok ? "" : now.engine.cause || "No answer."),
    tile("Store", now.store.ok ? "answers" : "away", now.store.ok ? "" : now.store.cause || "No answer."),
    ...(now.disk === undefined ? [] : [tile("Disk", `${bytes(now.disk.free)} free`, "", make("p", "", `of ${bytes(now.disk.total)}`))]),
    booksTile(now.books),
    ...now.shells.map(shellTile),
    ...now.aside.slice(0, ASIDE_SHOWN).map(asideTile),
    ...(now.draining ? [tile("Drain", now.drainsIn === undefined ? "under way" : `in ${duration(now.drainsIn)}`, "Newcomers are turned away.")] : []),
  );
}

function tile(title: string, value: string, trouble: string, ...more: Element[]): HTMLElement {
  const box = make("div", trouble === "" ? "tile" : "tile bad");
  box.append(make("h2", "", title), make("p", "tile-value", value), ...more);
  if (trouble !== "") box.append(make("p", "", trouble));
  return box;
}

function booksTile({ players, bytes: taken, quota }: Health["books"]): HTMLElement {
  const most = quota > 0 ? `at most ${bytes(quota)}, ` : "";
  return tile("Spellbooks", bytes(taken), "", make("p", "", `of ${players} players; ${most}counted twice an hour`));
}

function shellTile({ name, ok, cause, backoff }: Shell): HTMLElement {
  const trouble = ok ? "" : cause || "The log says why.";
  const box = tile(`Shell ${name}`, ok ? "can be started" : "can’t be started", trouble);
  if (backoff !== undefined) box.append(make("p", "", `The pool waits ${duration(backoff)}.`));
  return box;
}

function asideTile({ kind, name, cause, failures, retryIn }: Aside): HTMLElement {
  const again = retryIn > 0 ? `again in ${duration(retryIn)}` : "being tried again";
  return tile(`Set aside: ${kind} ${name}`, `failed ${failures} times, ${again}`, cause);
}

/** The last hour, up to now. */
function chart(values: readonly number[]): SVGElement {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "-1 -2 102 28");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(SVG, "polyline");
  line.setAttribute("points", points(values, 100, 24));
  svg.append(line);
  return svg;
}

function showColumns(): void {
  const cells = COLUMNS.map((column) => {
    const cell = make("th");
    cell.scope = "col";
    const isOrder = order.key === column.key;
    cell.setAttribute("aria-sort", isOrder ? (order.isDescending ? "descending" : "ascending") : "none");
    cell.append(
      makeButton("sort", column.title, () => {
        order = { key: column.key, isDescending: order.key === column.key && !order.isDescending };
        showColumns();
        showRows();
        const index = COLUMNS.indexOf(column);
        need("columns", HTMLTableRowElement).cells[index]?.querySelector("button")?.focus();
      }),
    );
    return cell;
  });
  const last = make("th", "", "Actions");
  last.scope = "col";
  need("columns", HTMLTableRowElement).replaceChildren(...cells, last);
}

/** Rows are kept, so that the focus stays on a button while figures change. */
function showRows(): void {
  const shown = arranged(known, filter.value, order);
  const old = new Map([...body.rows].map((line) => [line.dataset["id"], line]));
  const lines = shown.map((row) => {
    const line = old.get(row.id) ?? newLine(row);
    COLUMNS.forEach((column, index) => {
      const cell = line.cells[index];
      const text = column.show(row);
      if (cell && cell.textContent !== text) cell.textContent = text;
    });
    return line;
  });
  const isSame = lines.length === body.rows.length && lines.every((line, index) => body.rows[index] === line);
  if (!isSame) {
    const focused = document.activeElement;
    body.replaceChildren(...lines);
    if (focused instanceof HTMLElement && body.contains(focused)) focused.focus();
  }
  need("none", HTMLElement).hidden = shown.length > 0;
}

function newLine(row: Row): HTMLTableRowElement {
  const line = make("tr");
  line.dataset["id"] = row.id;
  for (const column of COLUMNS) {
    const cell = make("td");
    cell.dataset["title"] = column.title;
    if (column.key === "logName") cell.title = row.id;
    line.append(cell);
  }
  const name = row.logName;
  const button = (text: string, style: string, act: () => Promise<void>) => {
    const made = makeButton(`small ${style}`, text, () => void act());
    made.setAttribute("aria-label", `${text} ${name}`);
    return made;
  };
  const actions = make("td", "row-actions");
  actions.append(
    button("Watch", "", () => watch(row.id)),
    button("Notice", "", () => notice(row.id)),
    button("End", "danger", () => end(row.id)),
  );
  line.append(actions);
  return line;
}

/** Settles the question that is open. */
let answered: ((answer: string | undefined) => void) | undefined;

interface Field {
  label: string;
  type: "text" | "number";
  value: string;
}

/** Asks; the answer is undefined for no, else what is in the field, if there is one. The browser gives the focus back. */
function confirmed(title: string, text: string, yes: string, field?: Field): Promise<string | undefined> {
  // A dialog's "close" comes some time after it has closed: an earlier question may not have heard its own yet.
  answered?.(undefined);
  need("ask-title", HTMLElement).textContent = title;
  need("ask-text", HTMLElement).textContent = text;
  need("ask-yes", HTMLButtonElement).textContent = yes;
  need("ask-words", HTMLElement).hidden = field === undefined;
  need("words-label", HTMLElement).textContent = field?.label ?? "";
  words.required = field !== undefined;
  words.type = field?.type ?? "text";
  words.value = field?.value ?? "";
  dialog.returnValue = "no";
  dialog.showModal();
  if (field !== undefined) words.focus();
  return new Promise((resolve) => (answered = resolve));
}

async function watch(id: string): Promise<void> {
  // Opened while the click still counts; filled when the link is there.
  const page = window.open("", "_blank");
  const answer = await ask("POST", `/session/${id}/watch`);
  const url = answer.body["watch_url"];
  if (answer.status !== 201 || typeof url !== "string") {
    page?.close();
    return tell(sentence(answer), "");
  }
  tell("You watch the game in a new tab; its player is told.", "");
  if (page) page.location.href = url;
  else window.location.href = url;
}

async function notice(id: string | null): Promise<void> {
  const title = id === null ? "Notice to all games" : `Notice to ${id.slice(0, 8)}`;
  const text = await confirmed(title, "It is shown on the player’s page.", "Send", { label: "What it says", type: "text", value: "" });
  if (text === undefined) return;
  const answer = await ask("POST", "/admin/notice", { session_id: id, level: "info", text });
  tell(answer.status === 200 ? `Shown in ${String(answer.body["sessions"])} games.` : sentence(answer), "");
}

async function end(id: string): Promise<void> {
  const name = id.slice(0, 8);
  if ((await confirmed(`End ${name}?`, "The spellbook is saved and the container removed.", "End it")) === undefined) return;
  const answer = await ask("DELETE", `/session/${id}`);
  tell(answer.status === 204 ? `${name} has ended.` : sentence(answer), "");
  filter.focus();
  await refresh();
}

async function endAll(): Promise<void> {
  const text = "All spellbooks are saved and all containers removed. New games can be started.";
  if ((await confirmed("End all games?", text, "End them")) === undefined) return;
  const { status, body } = await ask("DELETE", "/sessions");
  const [ended, ending] = [String(body["ended"]), Number(body["ending"])];
  const rest = ending > 0 ? ` ${ending} are still being ended.` : "";
  tell(status === 200 ? `${ended} games have ended.${rest}` : sentence({ status, body }), "");
  await refresh();
}

async function drain(): Promise<void> {
  const text = "Newcomers are turned away and all players are told. Then all games are saved and removed, and the server ends.";
  const minutes = await confirmed("Drain the server?", text, "Drain it", { label: "Minutes until it ends", type: "number", value: "0" });
  if (minutes === undefined) return;
  const answer = await ask("POST", "/admin/drain", { after_seconds: Number(minutes) * 60 });
  isDrained = answer.status === 202;
  tell(isDrained ? "The server is being drained." : sentence(answer), "");
  if (isDrained) await refresh();
}

async function undoDrain(): Promise<void> {
  const answer = await ask("DELETE", "/admin/drain");
  tell(answer.status === 200 ? "The server goes on, and newcomers are let in again." : sentence(answer), "");
  need("drain", HTMLButtonElement).focus();
  await refresh();
}

dialog.addEventListener("close", () => {
  // A late one, of the question before: this one is still open.
  if (dialog.open) return;
  answered?.(dialog.returnValue === "yes" ? words.value : undefined);
  answered = undefined;
});
// By itself the browser would press the first button, which is Cancel.
words.addEventListener("keydown", (event) => {
  if (event.key !== "Enter") return;
  event.preventDefault();
  need("ask-yes", HTMLButtonElement).click();
});
login.addEventListener("submit", (event) => {
  event.preventDefault();
  void (async () => {
    const answer = await ask("POST", "/admin/login", { token: token.value });
    token.value = "";
    if (answer.status !== 204) {
      tell(sentence(answer), "");
      return token.focus();
    }
    tell("", "");
    await refresh();
    filter.focus();
  })();
});
need("logout", HTMLButtonElement).addEventListener("click", () => void ask("POST", "/admin/logout").then(refresh));
need("notice-all", HTMLButtonElement).addEventListener("click", () => void notice(null));
need("end-all", HTMLButtonElement).addEventListener("click", () => void endAll());
need("undo", HTMLButtonElement).addEventListener("click", () => void undoDrain());
need("drain", HTMLButtonElement).addEventListener("click", () => void drain());
filter.addEventListener("input", showRows);
document.addEventListener("visibilitychange", () => void refresh());
showColumns();
void refresh();
