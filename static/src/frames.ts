/**
 * The wire language `shellcraft.v1`, mirrored from the server's terminal/frame.rs. No I/O.
 *
 *   binary message   terminal bytes, both ways
 *   text message     one JSON control message
 */

/** The WebSocket subprotocol this page speaks. */
export const PROTOCOL = "shellcraft.v1";

/** Close codes with a meaning of their own. */
export const Close = {
  Ended: 1000,
  GoingAway: 1001,
  NotAllowed: 1008,
  TooBig: 1009,
  EngineFailed: 1011,
  TakenOver: 4000,
  Idle: 4001,
  Destroyed: 4002,
} as const;

/** The largest run of keystrokes put into one message; a big paste is cut into several. */
export const INPUT_FRAME_BYTES = 16 * 1024;

export type ClientMessage =
  | { type: "resize"; cols: number; rows: number }
  | { type: "ack"; offset: number }
  | { type: "ping"; t: number };

export type Role = "player" | "spectator";
export type Level = "info" | "warning" | "error";

export type ServerMessage =
  /**
   * First of all, and again when output had to be skipped. `offset`: where the following bytes start in the session's output. `replay`: they don't continue
   * what this page has drawn. `head`, if sent: how far the output had come, so what lies before it is history.
   */
  | { type: "hello"; session_id: string; offset: number; role: Role; replay: boolean; head?: number }
  | { type: "exit"; code?: number; reason?: string }
  | { type: "notice"; level: Level; text: string }
  | { type: "pong"; t: number };

export function encode(message: ClientMessage): string {
  return JSON.stringify(message);
}

/** Reads a control message; undefined for anything we don't know, so that a newer server may say more. */
export function decode(text: string): ServerMessage | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const fields = value as Record<string, unknown>;
  switch (fields["type"]) {
    case "hello":
      return decodeHello(fields);
    case "exit":
      return {
        type: "exit",
        ...(Number.isInteger(fields["code"]) ? { code: fields["code"] as number } : {}),
        ...(typeof fields["reason"] === "string" ? { reason: fields["reason"] } : {}),
      };
    case "notice":
      return typeof fields["text"] === "string"
        ? { type: "notice", level: decodeLevel(fields["level"]), text: fields["text"] }
        : undefined;
    case "pong":
      return typeof fields["t"] === "number" ? { type: "pong", t: fields["t"] } : undefined;
    default:
      return undefined;
  }
}

function decodeHello(fields: Record<string, unknown>): ServerMessage | undefined {
  const { session_id, offset, role, replay, head } = fields;
  if (typeof session_id !== "string" || !isOffset(offset)) return undefined;
  return {
    type: "hello",
    session_id,
    offset,
    role: role === "spectator" ? "spectator" : "player",
    replay: replay === true,
    ...(isOffset(head) ? { head } : {}),
  };
}

function decodeLevel(level: unknown): Level {
  return level === "warning" || level === "error" ? level : "info";
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Cuts keystrokes into messages no larger than the server takes. */
export function splitInput(bytes: Uint8Array): Uint8Array[] {
  if (bytes.length <= INPUT_FRAME_BYTES) return [bytes];
  const parts: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; start += INPUT_FRAME_BYTES) {
    parts.push(bytes.subarray(start, start + INPUT_FRAME_BYTES));
  }
  return parts;
}
