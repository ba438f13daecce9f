/** The server's REST routes, as far as the page uses them. No DOM; every failure is a value. */

import { here } from "./here";

export interface Created {
  sessionId: string;
  shell: string;
  connectUrl: string;
  token?: string;
}

export interface Failure {
  /** One sentence a person can act on. */
  message: string;
  /** Seconds after which the server expects to have room again. */
  retryAfter?: number;
  /** The player's games that run, when there are as many as there may be. */
  running?: Running[];
}

/** A game of the player's that runs. */
export interface Running {
  sessionId: string;
  shell: string;
  /** In milliseconds since 1970. */
  startedAt: number;
}

export type SessionStatus =
  /**
   * `recording`: whether its output is recorded; `endsIn`: the seconds after which it ends if nobody types, both where the
   * server says so.
   */
  | { kind: "running"; recording?: boolean; endsIn?: number }
  | { kind: "stopped"; code?: number; reason?: string }
  /** `isHostLost`: the server says that the machine it was on is gone. */
  | { kind: "gone"; isHostLost?: boolean }
  | { kind: "refused"; message: string }
  | { kind: "unreachable" };

const DEADLINE_MS = 10_000;
/** A session may have to wait for the Engine, so creating one may take longer. */
const CREATE_DEADLINE_MS = 60_000;

/** A place in the queue. */
export interface Place {
  place: number;
  waiting: number;
  seconds: number;
}

/** Where a wish for a game stands: not in line, in line, or being started. */
export type Standing = "unknown" | Place | "starting";

/** Starts a game; the answer is a session or a sentence. `ticket`, a UUID, is what `queueStanding` asks by meanwhile. */
export async function createSession(shell: string, ticket?: string): Promise<Created | Failure> {
  const answer = await ask(here("/session"), CREATE_DEADLINE_MS, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(ticket === undefined ? {} : { "X-Queue-Ticket": ticket }) },
    body: JSON.stringify({ shell }),
  });
  if (answer === undefined) return { message: "The server can't be reached. Is the network away?" };
  const { status, body, headers } = answer;
  if (status !== 201) {
    const retryAfter = retrySeconds(headers.get("Retry-After"));
    const running = runningGames(body["sessions"]);
    return {
      message: errorMessage(body, status),
      ...(retryAfter === undefined ? {} : { retryAfter }),
      ...(running.length === 0 ? {} : { running }),
    };
  }
  const { session_id, connect_url, token } = body;
  if (typeof session_id !== "string" || typeof connect_url !== "string") {
    return { message: "The server gave an answer this page does not understand. Reload the page." };
  }
  return {
    sessionId: session_id,
    shell: typeof body["shell"] === "string" ? body["shell"] : shell,
    connectUrl: connect_url,
    ...(typeof token === "string" ? { token } : {}),
  };
}

/** The games in an answer; what is none is left out. */
function runningGames(list: unknown): Running[] {
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => {
    const { session_id, shell, created_at } = typeof one === "object" && one !== null ? (one as Body) : {};
    if (typeof session_id !== "string" || typeof shell !== "string") return [];
    const startedAt = typeof created_at === "string" ? Date.parse(created_at) : Number.NaN;
    return [{ sessionId: session_id, shell, startedAt: Number.isNaN(startedAt) ? Date.now() : startedAt }];
  });
}

/** Where the wish with this ticket stands; undefined when the server did not say. */
export async function queueStanding(ticket: string): Promise<Standing | undefined> {
  const answer = await ask(here(`/queue/${encodeURIComponent(ticket)}`), DEADLINE_MS, {});
  if (answer?.status !== 200) return undefined;
  const { state, place, waiting, estimate_seconds } = answer.body;
  if (state === "unknown" || state === "starting") return state;
  if (typeof place !== "number" || typeof waiting !== "number" || typeof estimate_seconds !== "number") return undefined;
  return { place, waiting, seconds: estimate_seconds };
}

export async function sessionStatus(sessionId: string, token?: string): Promise<SessionStatus> {
  const answer = await ask(`${path(sessionId)}/status`, DEADLINE_MS, { headers: bearer(token) });
  if (answer === undefined || answer.status >= 500 || answer.status === 429) return { kind: "unreachable" };
  const { status, body } = answer;
  if (status === 401 || status === 403) return { kind: "refused", message: errorMessage(body, status) };
  if (status === 404 || status === 410 || body["status"] === "missing") {
    return body["reason"] === "host_lost" ? { kind: "gone", isHostLost: true } : { kind: "gone" };
  }
  if (body["status"] === "running") {
    const { recording, expires_in_seconds: endsIn } = body;
    return {
      kind: "running",
      ...(typeof recording === "boolean" ? { recording } : {}),
      ...(typeof endsIn === "number" ? { endsIn } : {}),
    };
  }
  if (body["status"] !== "stopped") return { kind: "unreachable" };
  return {
    kind: "stopped",
    ...(Number.isInteger(body["exit_code"]) ? { code: body["exit_code"] as number } : {}),
    ...(typeof body["reason"] === "string" ? { reason: body["reason"] } : {}),
  };
}

/** A version of the player's spellbook. */
export interface BookVersion {
  sha256: string;
  bytes: number;
  /** In milliseconds since 1970. */
  savedAt: number;
  /** Whether it was set aside, and no autosave pushes it out. */
  setAside: boolean;
}

/** The versions of the player's spellbook, newest first; none when the server did not say. */
export async function bookVersions(): Promise<BookVersion[]> {
  const answer = await ask(here("/spellbook"), DEADLINE_MS, {});
  const list: unknown = answer?.status === 200 ? answer.body["versions"] : undefined;
  if (!Array.isArray(list)) return [];
  return list.flatMap((one: unknown) => {
    const { sha256, bytes, saved_at, set_aside } = typeof one === "object" && one !== null ? (one as Body) : {};
    const savedAt = typeof saved_at === "string" ? Date.parse(saved_at) : Number.NaN;
    if (typeof sha256 !== "string" || typeof bytes !== "number" || Number.isNaN(savedAt)) return [];
    return [{ sha256, bytes, savedAt, setAside: set_aside === true }];
  });
}

/** A book that is read to be counted is no longer than that, in bytes. */
const MOST_COUNTED_BYTES = 64 * 1024;

/** The newest version with what is in it, where it is short enough to be looked into; undefined where there is none. */
export async function newestBook(): Promise<{ version: BookVersion; text?: string } | undefined> {
  const [version] = await bookVersions();
  if (version === undefined || version.setAside) return undefined;
  if (version.bytes > MOST_COUNTED_BYTES) return { version };
  try {
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const response = await fetch(versionPath(version.sha256), { signal });
    return response.ok ? { version, text: await response.text() } : { version };
  } catch {
    return { version };
  }
}

/** The code by which another device becomes this player. */
export async function recoveryCode(): Promise<string | Failure> {
  const answer = await ask(here("/recovery-code"), DEADLINE_MS, { method: "POST" });
  if (answer === undefined) return { message: "The server can't be reached. Is the network away?" };
  const { recovery_code: code } = answer.body;
  return typeof code === "string" ? code : { message: errorMessage(answer.body, answer.status) };
}

/** Makes this browser the player of that code; undefined when it is. */
export async function recover(code: string): Promise<Failure | undefined> {
  const answer = await ask(here("/recover"), DEADLINE_MS, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ recovery_code: code }),
  });
  if (answer === undefined) return { message: "The server can't be reached. Is the network away?" };
  return answer.status === 204 ? undefined : { message: errorMessage(answer.body, answer.status) };
}

/** Makes this the newest version; undefined when it is. */
export async function uploadBook(book: Uint8Array<ArrayBuffer>): Promise<Failure | undefined> {
  const answer = await ask(here("/spellbook"), CREATE_DEADLINE_MS, {
    method: "PUT",
    headers: { "Content-Type": "application/octet-stream" },
    body: book,
  });
  if (answer === undefined) return { message: "The server can't be reached. Is the network away?" };
  return answer.status === 204 ? undefined : { message: errorMessage(answer.body, answer.status) };
}

/** Where a version can be downloaded. */
export function versionPath(sha256: string): string {
  return here(`/spellbook/${encodeURIComponent(sha256)}`);
}

/** Makes a version the newest again; undefined when it is. */
export async function restoreVersion(sha256: string): Promise<Failure | undefined> {
  const answer = await ask(versionPath(sha256), DEADLINE_MS, { method: "POST" });
  if (answer === undefined) return { message: "The server can't be reached. Is the network away?" };
  return answer.status === 204 ? undefined : { message: errorMessage(answer.body, answer.status) };
}

/** Ends a game; undefined when it is gone now, whoever ended it. */
export async function endSession(sessionId: string, token?: string): Promise<Failure | undefined> {
  const answer = await ask(path(sessionId), CREATE_DEADLINE_MS, { method: "DELETE", headers: bearer(token) });
  if (answer === undefined) return { message: "The server can't be reached, so the game still runs." };
  const { status, body } = answer;
  return status === 204 || status === 404 || status === 410 ? undefined : { message: errorMessage(body, status) };
}

/** Makes this browser nobody's; undefined when it is. */
export async function logOut(): Promise<Failure | undefined> {
  const answer = await ask(here("/logout"), DEADLINE_MS, { method: "POST" });
  if (answer === undefined) return { message: "The server can't be reached, so you are still logged in." };
  return answer.status === 204 ? undefined : { message: errorMessage(answer.body, answer.status) };
}

/** Seconds from a `Retry-After` header: a number, or a date as RFC 9110 also allows. */
export function retrySeconds(header: string | null, now = Date.now()): number | undefined {
  if (header === null) return undefined;
  if (/^\d+$/.test(header.trim())) return Math.min(3600, Number(header));
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.min(3600, Math.max(0, Math.ceil((date - now) / 1000)));
}

/** Whether a watch link still leads somewhere; `page` is its address. */
export async function watchStatus(page: string): Promise<SessionStatus> {
  const answer = await ask(page, DEADLINE_MS, {});
  if (answer === undefined || answer.status >= 500 || answer.status === 429) return { kind: "unreachable" };
  return answer.status === 404 || answer.status === 410 ? { kind: "gone" } : { kind: "running" };
}

/** Whether a WebSocket's address answers that it speaks nothing else: then the server would let this page in. */
export async function wantsUpgrade(wsUrl: string, token?: string): Promise<boolean> {
  const answer = await ask(wsUrl.replace(/^ws/, "http"), DEADLINE_MS, { headers: bearer(token) });
  return answer?.status === 426;
}

/** Whether the page at this address has another script by now than this address in it, as after an upgrade of the server. */
export async function isOutdated(page: string, script: string): Promise<boolean> {
  try {
    const response = await fetch(page, { cache: "no-store", signal: AbortSignal.timeout(DEADLINE_MS) });
    return response.ok && !(await response.text()).includes(`"${script}"`);
  } catch {
    return false;
  }
}

type Body = Record<string, unknown>;

/** One request with a deadline; undefined when nobody answered. */
export async function ask(
  url: string,
  deadlineMs: number,
  init: RequestInit,
): Promise<{ status: number; headers: Headers; body: Body } | undefined> {
  try {
    const response = await fetch(url, {
      ...init,
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(deadlineMs),
    });
    const value: unknown = await response.json().catch(() => ({}));
    const body = typeof value === "object" && value !== null ? (value as Body) : {};
    return { status: response.status, headers: response.headers, body };
  } catch {
    return undefined;
  }
}

/** The server's own sentence, or one that says at least the status. */
export function errorMessage(body: Body, status: number): string {
  const error = body["error"];
  if (typeof error === "object" && error !== null) {
    const message = (error as Body)["message"];
    if (typeof message === "string" && message !== "") return sentence(message);
  }
  return `The server answered with status ${status}.`;
}

function sentence(text: string): string {
  const upper = text.charAt(0).toUpperCase() + text.slice(1);
  return /[.!?…]$/.test(upper) ? upper : `${upper}.`;
}

export function bearer(token?: string): Record<string, string> {
  return token === undefined ? {} : { Authorization: `Bearer ${token}` };
}

export function path(sessionId: string): string {
  return here(`/session/${encodeURIComponent(sessionId)}`);
}
