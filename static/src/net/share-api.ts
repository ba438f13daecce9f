/** The routes for letting others watch and for recording. No DOM; every failure is a value. */

import { ask, bearer, errorMessage, path } from "./api";
import type { Failure } from "./api";

export interface WatchLink {
  url: string;
  expiresAt?: Date;
}

const DEADLINE_MS = 10_000;
/** A recording may have a MiB, and the network may be a phone's. */
const DOWNLOAD_DEADLINE_MS = 120_000;
const AWAY: Failure = { message: "The server can't be reached. Is the network away?" };

/** Makes a link by which others may watch. */
export async function createWatchLink(sessionId: string, token?: string): Promise<WatchLink | Failure> {
  const answer = await ask(`${path(sessionId)}/watch`, DEADLINE_MS, { method: "POST", headers: bearer(token) });
  if (answer === undefined) return AWAY;
  const { watch_url, expires_at } = answer.body;
  if (answer.status !== 201 || typeof watch_url !== "string") return { message: errorMessage(answer.body, answer.status) };
  const expiresAt = new Date(typeof expires_at === "string" ? expires_at : Number.NaN);
  return { url: watch_url, ...(Number.isNaN(expiresAt.getTime()) ? {} : { expiresAt }) };
}

/** Takes all watch links back, and whoever watches is sent away. */
export async function revokeWatchLinks(sessionId: string, token?: string): Promise<Failure | undefined> {
  const answer = await ask(`${path(sessionId)}/watch`, DEADLINE_MS, { method: "DELETE", headers: bearer(token) });
  return failed(answer, [204, 404, 410]);
}

/** Starts recording; one that runs already goes on. */
export async function startRecording(sessionId: string, token?: string): Promise<Failure | undefined> {
  const answer = await ask(`${path(sessionId)}/recording`, DEADLINE_MS, { method: "POST", headers: bearer(token) });
  return failed(answer, [201, 409]);
}

/** Ends recording and drops what there is. */
export async function dropRecording(sessionId: string, token?: string): Promise<Failure | undefined> {
  const answer = await ask(`${path(sessionId)}/recording`, DEADLINE_MS, { method: "DELETE", headers: bearer(token) });
  return failed(answer, [204, 404, 410]);
}

/** What is recorded so far, as an asciicast. */
export async function fetchRecording(sessionId: string, token?: string): Promise<Blob | Failure> {
  try {
    const response = await fetch(`${path(sessionId)}/recording`, {
      headers: bearer(token),
      credentials: "same-origin",
      cache: "no-store",
      signal: AbortSignal.timeout(DOWNLOAD_DEADLINE_MS),
    });
    if (response.ok) return await response.blob();
    if (response.status === 404 || response.status === 410) return { message: "There is no recording any more." };
    return { message: `The server answered with status ${response.status}.` };
  } catch {
    return AWAY;
  }
}

type Answer = Awaited<ReturnType<typeof ask>>;

function failed(answer: Answer, fine: number[]): Failure | undefined {
  if (answer === undefined) return AWAY;
  return fine.includes(answer.status) ? undefined : { message: errorMessage(answer.body, answer.status) };
}
