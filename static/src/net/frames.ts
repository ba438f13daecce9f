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
  Moved: 4003,
} as const;

/** The largest run of keystrokes put into one message; a big paste is cut into several. */
export const INPUT_FRAME_BYTES = 16 * 1024;

export type ClientMessage =
  | { type: "resize"; cols: number; rows: number }
  | { type: "ack"; offset: number }
  | { type: "ping"; t: number }
  /** Somebody is there, and has nothing to type. */
  | { type: "stay" };

export type Role = "player" | "spectator";
export type Level = "info" | "warning" | "error";
const KINDS = ["idle_warning", "lifetime_warning", "engine_away", "engine_back", "paused", "resumed", "not_delivered", "recording_full", "no_room_for_book", "books_differ", "bad_size", "drain", "drain_undone"] as const;
/** What a notice is about; "other" for anything a newer server may say. */
export type NoticeKind = (typeof KINDS)[number] | "other";
export type Notice = { type: "notice"; kind: NoticeKind; level: Level; text: string; endsIn?: number };

export type ServerMessage =
  /**
   * First of all, and again when output had to be skipped. `offset`: where the following bytes start in the
   * session's output. `replay`: they don't continue what this page has drawn. `head`, if sent: how far the
   * output had come, so what lies before it is history. `answered`, if sent: how much of that a page of the player's
   * was sent before, so that the questions in it are answered. `input`: so many bytes of this page's keys are settled.
   */
  | { type: "hello"; offset: number; role: Role; replay: boolean; head?: number; answered?: number; input?: number }
  /** Where the output before `hello.offset` is not kept: what to draw first. Has no offsets. */
  | { type: "screen"; cols: number; rows: number; data: string }
  | { type: "exit"; code?: number; reason?: string }
  /** `endsIn`: the game is put away in so many seconds, unless somebody types. */
  | Notice
  | { type: "pong"; t: number; input?: number }
  /** Before the close: the last count of this page's keys. */
  | { type: "keys"; input: number }
  /** For the player: so many look on. */
  | { type: "spectators"; count: number }
  /** For spectators: the size of the player's terminal. */
  | { type: "size"; cols: number; rows: number };

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
    case "screen":
    case "size":
      return decodeSized(fields);
    case "notice":
      return decodeNotice(fields);
    case "pong":
      return typeof fields["t"] === "number"
        ? { type: "pong", t: fields["t"], ...(isOffset(fields["input"]) ? { input: fields["input"] } : {}) }
        : undefined;
    case "keys":
      return isOffset(fields["input"]) ? { type: "keys", input: fields["input"] } : undefined;
    case "spectators":
      return isOffset(fields["count"]) ? { type: "spectators", count: fields["count"] } : undefined;
    default:
      return undefined;
  }
}

function decodeHello(fields: Record<string, unknown>): ServerMessage | undefined {
  const { offset, role, replay, head, answered, input } = fields;
  if (!isOffset(offset)) return undefined;
  return {
    type: "hello",
    offset,
    role: role === "spectator" ? "spectator" : "player",
    replay: replay === true,
    ...(isOffset(head) ? { head } : {}),
    ...(isOffset(answered) ? { answered } : {}),
    ...(isOffset(input) ? { input } : {}),
  };
}

function decodeSized(fields: Record<string, unknown>): ServerMessage | undefined {
  const { type, cols, rows, data } = fields;
  if (!isSide(cols) || !isSide(rows)) return undefined;
  if (type === "size") return { type, cols, rows };
  return typeof data === "string" ? { type: "screen", cols, rows, data } : undefined;
}

function decodeNotice(fields: Record<string, unknown>): ServerMessage | undefined {
  const { kind, level, text, ends_in } = fields;
  if (typeof text !== "string") return undefined;
  // Whoever is told that a key helps must be told so only where it does.
  const counts = kind !== "lifetime_warning";
  const endsIn = counts && typeof ends_in === "number" && ends_in >= 0 && Number.isFinite(ends_in) ? { endsIn: ends_in } : {};
  const known = KINDS.find((each) => each === kind) ?? "other";
  return { type: "notice", kind: known, level: decodeLevel(level), text, ...endsIn };
}

function decodeLevel(level: unknown): Level {
  return level === "warning" || level === "error" ? level : "info";
}

function isOffset(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** What the server allows: columns and rows each, and cells. */
const MOST_SIDE = 1000;
const MOST_CELLS = 100_000;

function isSide(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MOST_SIDE;
}

/** The largest terminal that is allowed in such a room; it keeps its width. */
export function within(room: { cols: number; rows: number }): { cols: number; rows: number } {
  const cols = Math.min(room.cols, MOST_SIDE);
  return { cols, rows: Math.min(room.rows, MOST_SIDE, Math.floor(MOST_CELLS / cols)) };
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
