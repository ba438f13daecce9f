/**
 * A recording, as the server keeps it: asciicast v2 (https://docs.asciinema.org/manual/asciicast/v2/). Pure.
 * Long pauses are shortened: nobody waits for somebody who thought for ten minutes.
 */

import { within } from "./frames";

/** What happens `at` so many seconds: output, or a new size. */
export type CastEvent = { at: number; data: string } | { at: number; cols: number; rows: number };

export interface Cast {
  cols: number;
  rows: number;
  events: CastEvent[];
  /** From the beginning to the last event. */
  seconds: number;
}

const LONGEST_PAUSE_SECONDS = 2;

/** Reads a recording; undefined for what is none. Events that we don't know are left out. */
export function readCast(text: string): Cast | undefined {
  const [first = "", ...lines] = text.split("\n");
  const header = readJson(first) as { version?: unknown; width?: unknown; height?: unknown } | undefined;
  const { version, width, height } = header ?? {};
  const screen = readSize(`${width}x${height}`);
  if (version !== 2 || screen === undefined) return undefined;
  const events: CastEvent[] = [];
  let before = 0;
  let seconds = 0;
  for (const line of lines) {
    const event = readJson(line);
    if (!Array.isArray(event)) continue;
    const [at, kind, data] = event as unknown[];
    if (typeof at !== "number" || typeof data !== "string") continue;
    const size = kind === "r" ? readSize(data) : undefined;
    if (kind !== "o" && size === undefined) continue;
    seconds += Math.min(LONGEST_PAUSE_SECONDS, Math.max(0, at - before));
    before = at;
    events.push(size === undefined ? { at: seconds, data } : { at: seconds, ...size });
  }
  return { ...screen, events, seconds };
}

function readSize(text: string): { cols: number; rows: number } | undefined {
  const [, cols, rows] = /^([1-9]\d{0,3})x([1-9]\d{0,3})$/.exec(text) ?? [];
  return cols === undefined ? undefined : within({ cols: Number(cols), rows: Number(rows) });
}

/** An array or an object; undefined for anything else. */
function readJson(text: string): unknown {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}
