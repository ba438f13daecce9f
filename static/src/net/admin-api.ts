/** The operator's routes, as far as the page uses them. No DOM; every failure is a value. */

import { here } from "./here";

export interface Row {
  id: string;
  /** By which the server's log calls it. */
  logName: string;
  shell: string;
  state: string;
  age: number;
  idle: number;
  memory: number | undefined;
  cpus: number | undefined;
  bytesIn: number;
  bytesOut: number;
  viewers: number;
  peer: string;
  player: string;
}

export interface Health {
  version: string;
  instance: string;
  uptime: number;
  draining: boolean;
  /** Seconds until a drain that can still be undone. */
  drainsIn: number | undefined;
  sessions: number;
  maxSessions: number;
  pool: number;
  poolSize: number;
  queue: number;
  engine: { ok: boolean; cause: string };
  store: { ok: boolean; cause: string };
  shells: Shell[];
  /** What has failed and is tried again from time to time. */
  aside: Aside[];
  /** Undefined where the store is on no disk of this host. */
  disk: { free: number; total: number } | undefined;
  /** A quota of 0 is none. */
  books: { players: number; bytes: number; quota: number };
  /** The last hour, a figure a minute. */
  history: { sessions: number[]; queue: number[]; output: number[] };
}

export interface Shell {
  name: string;
  ok: boolean;
  cause: string;
  /** For how long the pool makes no more of it; undefined when it does. */
  backoff: number | undefined;
}

export interface Aside {
  kind: string;
  name: string;
  cause: string;
  /** In a row. */
  failures: number;
  /** Seconds. */
  retryIn: number;
}

export type Answer = { status: number; body: Record<string, unknown> };

const DEADLINE_MS = 25_000;

/** What the server says; status 0 when it says nothing. */
export async function ask(method: string, path: string, body?: unknown): Promise<Answer> {
  try {
    const response = await fetch(here(path), {
      method,
      signal: AbortSignal.timeout(DEADLINE_MS),
      ...(body === undefined ? {} : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const parsed: unknown = text === "" ? {} : JSON.parse(text);
    return { status: response.status, body: record(parsed) };
  } catch {
    return { status: 0, body: {} };
  }
}

/** The server's sentence for a failure. */
export function sentence({ status, body }: Answer): string {
  if (status === 0) return "The server does not answer.";
  const { message } = record(body["error"]);
  return typeof message === "string" ? message : `The server answered ${status}.`;
}

/** The sessions in an answer; what is none is left out. */
export function rows(body: Record<string, unknown>): Row[] {
  const { sessions } = body;
  if (!Array.isArray(sessions)) return [];
  return sessions.map(record).flatMap((one) => {
    const id = one["session_id"];
    if (typeof id !== "string") return [];
    return [{
      id,
      logName: text(one["log_name"]),
      shell: text(one["shell"]),
      state: text(one["state"]),
      age: number(one["age_seconds"]) ?? 0,
      idle: number(one["idle_seconds"]) ?? 0,
      memory: number(one["memory_bytes"]),
      cpus: number(one["cpus"]),
      bytesIn: number(one["bytes_in"]) ?? 0,
      bytesOut: number(one["bytes_out"]) ?? 0,
      viewers: number(one["viewers"]) ?? 0,
      peer: text(one["peer"]),
      player: text(one["player"]),
    }];
  });
}

export function health(body: Record<string, unknown>): Health {
  const part = (name: string) => ({ ok: record(body[name])["ok"] === true, cause: text(record(body[name])["cause"]) });
  return {
    version: text(body["version"]),
    instance: text(body["instance"]),
    uptime: number(body["uptime_seconds"]) ?? 0,
    draining: body["draining"] === true,
    drainsIn: number(body["drains_in_seconds"]),
    sessions: number(body["sessions"]) ?? 0,
    maxSessions: number(body["max_sessions"]) ?? 0,
    pool: Object.values(record(body["pool"])).reduce<number>((sum, count) => sum + (number(count) ?? 0), 0),
    poolSize: number(body["pool_size"]) ?? 0,
    queue: number(body["queue"]) ?? 0,
    engine: part("engine"),
    store: part("store"),
    shells: shells(body["shells"]),
    aside: aside(body["quarantine"]),
    disk: disk(record(body["disk"])),
    books: {
      players: number(record(body["books"])["players"]) ?? 0,
      bytes: number(record(body["books"])["bytes"]) ?? 0,
      quota: number(record(body["books"])["quota_bytes"]) ?? 0,
    },
    history: {
      sessions: numbers(record(body["history"])["sessions"]),
      queue: numbers(record(body["history"])["queue"]),
      output: numbers(record(body["history"])["output"]),
    },
  };
}

function disk(fields: Record<string, unknown>): Health["disk"] {
  const [free, total] = [number(fields["free_bytes"]), number(fields["total_bytes"])];
  return free === undefined || total === undefined ? undefined : { free, total };
}

function shells(list: unknown): Shell[] {
  if (!Array.isArray(list)) return [];
  return list.map(record).map((one) => ({
    name: text(one["name"]),
    ok: one["ok"] === true,
    cause: text(one["cause"]),
    backoff: number(one["backoff_seconds"]),
  }));
}

function aside(list: unknown): Aside[] {
  if (!Array.isArray(list)) return [];
  return list.map(record).map((one) => ({
    kind: text(one["kind"]),
    name: text(one["name"]),
    cause: text(one["cause"]),
    failures: number(one["failures"]) ?? 0,
    retryIn: number(one["retry_in_seconds"]) ?? 0,
  }));
}

function record(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function text(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function numbers(list: unknown): number[] {
  return Array.isArray(list) ? list.flatMap((value) => number(value) ?? []) : [];
}

function number(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value : undefined;
}
