/**
 * Keeps one terminal joined to its session over a network that comes and goes. No DOM: socket, clock,
 * chance and the status question are handed in, so tests drive it without a browser.
 *
 *   connecting ──hello──▶ playing ──cut──▶ waiting ──timer, nudge──▶ connecting …
 *                            │                ├──status: session gone──▶ ended
 *                            │                └──status: it runs, again and again──▶ waiting, blocked
 *                            ├──another tab──▶ away ──takeBack──▶ connecting
 *                            └──exit, idle, destroyed, refused──▶ ended
 *
 * Output is resumed by its absolute offset, so nothing is lost or drawn twice. Keys are counted the same way
 * (sent-keys.ts): what was under way at a cut is sent again from where the server's count stands. What can't be
 * sent now is refused at once, never kept for later.
 */

import { ACK_LATER_MS, AckMeter } from "./ack";
import { backoff } from "./backoff";
import { firstAddress } from "./early";
import { Close, decode, encode, PROTOCOL, splitInput } from "./frames";
import type { ClientMessage, Notice, Role, ServerMessage } from "./frames";
import { SentKeys } from "./sent-keys";

/** No answer to the upgrade, or no hello after it, for this long: the attempt has failed. */
const CONNECT_MS = 10_000;
/** How often the round trip is measured while the page is visible. */
const PING_EVERY_MS = 5_000;
/** Silence after a ping that means the connection is dead, though nobody closed it. */
const PONG_MS = 10_000;
/** The same, right after the network or the page came back, when a dead connection is likely. */
const PONG_AFTER_NUDGE_MS = 3_000;
/** A connection that held this long was a good one: the next wait starts small again. */
const STABLE_MS = 5_000;
/** More unsent input than this means the network has stopped: the rest is refused, not piled up. */
const UNSENT_BYTES = 256 * 1024;
/** After so many keys the server is asked for its count: a pong says it, and what is settled need not be kept. */
const PING_AFTER_BYTES = 16 * 1024;

/** So many attempts in a row found a server that answers and no WebSocket: no restart takes that long, something else is. */
const BLOCKED_AFTER = 2;

/** Why the page waits before it tries again. `blocked`: the server answers, and something between lets no WebSocket through. `drawing`: the terminal had to be opened anew. */
export type Cause = "network" | "server" | "engine" | "blocked" | "drawing";

export type Ending =
  | { why: "exit"; code?: number; reason?: string }
  | { why: "idle" }
  | { why: "destroyed"; reason?: string }
  | { why: "moved" }
  /** The server was shut down, and all games with it. */
  | { why: "stopped" }
  | { why: "gone"; isHostLost?: boolean }
  /** The player has taken the watch link back. */
  | { why: "unwatched" }
  | { why: "refused"; message: string };

export type State =
  | { kind: "connecting"; again: boolean }
  | { kind: "playing"; role: Role }
  | { kind: "waiting"; cause: Cause; retryAt: number }
  | { kind: "away" }
  | { kind: "ended"; ending: Ending };

/** What `GET /session/{id}/status` says, as far as it matters here. */
export type Probe =
  | { kind: "running" }
  | { kind: "stopped"; code?: number; reason?: string }
  | { kind: "gone"; isHostLost?: boolean }
  | { kind: "refused"; message: string }
  | { kind: "unreachable" };

export type Screen = Omit<Extract<ServerMessage, { type: "screen" }>, "type">;

/** The part of a WebSocket that is used. */
export interface Socket {
  binaryType: string;
  readonly bufferedAmount: number;
  readonly readyState: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: string | Uint8Array): void;
  close(code?: number): void;
}

/** WebSocket.OPEN, which is not there where no browser is. */
const OPEN = 1;

/** The world as the connection sees it. */
export interface World {
  open(url: string, protocol: string): Socket;
  probe(): Promise<Probe>;
  /** Whether the socket's own address, asked without an upgrade, says that one is all it wants. */
  wantsUpgrade(): Promise<boolean>;
  now(): number;
  random(): number;
  /** Calls back once; the returned function cancels. */
  later(ms: number, callback: () => void): () => void;
}

export interface Listener {
  onState(state: State): void;
  /** Bytes to draw; `drawn` is to be called once they are. `history`: an earlier page was sent them and has answered. */
  onOutput(bytes: Uint8Array, drawn: () => void, history: boolean): void;
  /** What follows doesn't continue what was drawn: start from an empty screen. */
  onRestart(): void;
  /** A screen to draw at this size, instead of the output that led to it; `drawn` is to be called once it is. */
  onScreen(screen: Screen, drawn: () => void): void;
  /** All that lay behind the session when this page came is drawn; what follows happens now. */
  onCaughtUp(): void;
  onNotice(notice: Notice): void;
  onLatency(ms: number): void;
  /** So many bytes of keys were under way at a cut, may not have arrived, and are not sent again. */
  onLostKeys(bytes: number): void;
  /** For a player: so many look on. */
  onSpectators(count: number): void;
  /** For a spectator: the size of the player's terminal. */
  onSize(cols: number, rows: number): void;
}

/** Who this page is to the server. */
export interface Identity {
  role: Role;
  /** A fresh UUID a page load, by which the server knows whose keys it has counted. */
  client: string;
}

export class Connection {
  private _state: State = { kind: "connecting", again: false };
  private _socket: Socket | undefined;
  private _isOpen = false;
  private _attempt = 0;
  /** Attempts in a row that failed though the game was there. */
  private _unjoined = 0;
  private _playingSince = 0;
  private _size: { cols: number; rows: number } | undefined;
  private _visible = true;
  private _exit: { code?: number; reason?: string } | undefined;
  /** Whether the server has said that all games end in a moment. */
  private _isDraining = false;

  /** Absolute offset behind the last byte received; undefined before the first hello. */
  private _received: number | undefined;
  private _historyEnd = 0;
  /** Questions of the program's before this offset were answered by an earlier page. */
  private _answeredEnd = 0;
  /** Whether something was answered since drawing was last reported. */
  private _hasAnswered = false;
  /** The terminal is a new one, which is to show the screen as it is and not the output that led to it. */
  private _wantsScreen = false;
  /** Set from a restart of the screen until its history is drawn. */
  private _isCatchingUp = false;
  private _drawn = 0;
  private _screensDue = 0;
  /** Counts restarts of the screen: a callback of an older one says nothing about the new. */
  private _epoch = 0;
  private readonly _acks = new AckMeter();

  private readonly _keys = new SentKeys();
  private _keysSincePing = 0;
  /** Whether this socket's first hello has come. */
  private _isGreeted = false;

  private _cancelAttempt = nothing;
  private _cancelRetry = nothing;
  private _cancelPing = nothing;
  /** Set while a ping is unanswered. */
  private _cancelPong: (() => void) | undefined;
  private _cancelAck = nothing;

  constructor(
    private readonly _url: string,
    private readonly _world: World,
    private readonly _listener: Listener,
    private readonly _identity: Identity,
  ) {}

  get state(): State {
    return this._state;
  }

  start(): void {
    this._connect();
  }

  /**
   * Sends keystrokes; false when they were not sent, and never will be. What is sent arrives once, or is reported.
   * `isAnswer`: they answer what is being drawn. Then the server hears at once that it is drawn, or the next page would
   * answer it a second time; and while there is no connection they wait for the next one, for nobody else answers that.
   */
  input(bytes: Uint8Array, isAnswer = false): boolean {
    if (isAnswer && this._isComingBack()) {
      this._keys.push(bytes);
      return true;
    }
    const socket = this._socket;
    if (socket === undefined || this._state.kind !== "playing" || this._state.role !== "player") return false;
    if (socket.bufferedAmount + bytes.length > UNSENT_BYTES && socket.bufferedAmount > 0) return false;
    this._keys.push(bytes);
    for (const part of splitInput(bytes)) this._put(part);
    this._hasAnswered ||= isAnswer;
    this._keysSincePing += bytes.length;
    if (this._keysSincePing >= PING_AFTER_BYTES) this._ping(PONG_MS);
    return true;
  }

  private _isComingBack(): boolean {
    const { kind } = this._state;
    return (kind === "waiting" || kind === "connecting") && this._received !== undefined && this._identity.role === "player";
  }

  /** Keeps the game as a key would, without typing anything; false when the server can't hear of it now. */
  stay(): boolean {
    if (this._state.kind !== "playing" || this._state.role !== "player") return false;
    this._send({ type: "stay" });
    return true;
  }

  resize(cols: number, rows: number): void {
    if (this._size?.cols === cols && this._size.rows === rows) return;
    this._size = { cols, rows };
    this._sendSize();
  }

  /** The page became visible or hidden; a hidden one is spared the pings. */
  setVisible(visible: boolean): void {
    this._visible = visible;
    if (visible) this.nudge();
  }

  /** The browser says that there is no network: what is open is dead, though nobody would notice for a while. */
  loseNetwork(): void {
    if (this._state.kind === "playing" || this._state.kind === "connecting") this._lost("network");
  }

  /** The network or the page came back: try at once, or find out whether the old connection still lives. */
  nudge(): void {
    if (this._state.kind === "waiting") this.retry();
    else if (this._state.kind === "playing") this._ping(PONG_AFTER_NUDGE_MS);
  }

  /** The terminal was opened anew: joins again, to be told the screen as it is now. */
  redraw(): void {
    this._epoch += 1;
    if (this._received === undefined) return;
    this._wantsScreen = true;
    if (this._state.kind === "playing" || this._state.kind === "connecting") this._lost("drawing");
  }

  /** Ends the waiting early; also the way back after another tab took over. */
  retry(): void {
    if (this._state.kind !== "waiting" && this._state.kind !== "away") return;
    this._cancelRetry();
    this._connect();
  }

  dispose(): void {
    this._cancelRetry();
    this._drop(Close.Ended);
  }

  // One attempt.

  private _connect(): void {
    this._drop();
    this._setState({ kind: "connecting", again: this._received !== undefined });
    let socket: Socket;
    try {
      socket = this._world.open(this._address(), PROTOCOL);
    } catch {
      this._lost("network");
      return;
    }
    socket.binaryType = "arraybuffer";
    this._socket = socket;
    this._cancelAttempt = this._world.later(CONNECT_MS, () => this._failed());
    socket.onopen = () => this._handleOpen();
    socket.onmessage = ({ data }) => this._handleMessage(data);
    socket.onclose = ({ code, reason }) => this._handleClose(code, reason);
    socket.onerror = nothing; // A close always follows and says more.
  }

  private _address(): string {
    const url = firstAddress(this._url, this._identity.role, this._identity.client);
    if (this._received !== undefined) url.searchParams.set("from", String(this._received));
    if (this._wantsScreen) url.searchParams.set("screen", "now");
    return url.href;
  }

  private _handleOpen(): void {
    this._isOpen = true;
    this._sendSize();
  }

  private _handleMessage(data: unknown): void {
    this._forgivePong(); // Anything at all proves that the other side lives.
    if (typeof data === "string") {
      const message = decode(data);
      if (message !== undefined) this._handleControl(message);
    } else if (data instanceof ArrayBuffer) {
      this._handleOutput(new Uint8Array(data));
    }
  }

  private _handleControl(message: ServerMessage): void {
    switch (message.type) {
      case "hello":
        return this._handleHello(message);
      case "exit":
        this._exit = exitOf(message);
        return;
      case "screen":
        return this._handleScreen(message);
      case "notice":
        if (message.kind === "drain") this._isDraining = message.endsIn === undefined;
        if (message.kind === "drain_undone") this._isDraining = false;
        return this._listener.onNotice(message);
      case "pong":
        if (message.input !== undefined) this._keys.settle(message.input);
        return this._listener.onLatency(Math.max(0, this._world.now() - message.t));
      case "keys":
        return this._keys.settle(message.input);
      case "spectators":
        return this._listener.onSpectators(message.count);
      case "size":
        return this._listener.onSize(message.cols, message.rows);
    }
  }

  private _handleHello(hello: Extract<ServerMessage, { type: "hello" }>): void {
    const isFirst = this._received === undefined;
    // A server that starts elsewhere than asked for can only mean a redraw, whatever it says.
    const isRestart = isFirst || this._wantsScreen || hello.replay || hello.offset !== this._received;
    this._wantsScreen = false;
    // Another page, or the server, may have answered what this one has not seen.
    if (hello.answered !== undefined) this._answeredEnd = hello.answered;
    else if (isRestart) this._answeredEnd = hello.head ?? 0;
    if (isRestart) {
      this._epoch += 1;
      this._historyEnd = hello.head ?? 0;
      this._isCatchingUp = true;
      this._screensDue = 0;
      if (!isFirst) this._listener.onRestart();
    }
    this._received = hello.offset;
    this._drawn = isRestart ? hello.offset : this._drawn;
    this._acks.restart(hello.offset);
    this._cancelAttempt();
    this._unjoined = 0;
    this._playingSince = this._world.now();
    this._isDraining &&= this._isGreeted; // Another server, then.
    this._resumeKeys(hello.input, isFirst);
    this._setState({ kind: "playing", role: hello.role });
    this._ping(PONG_MS);
  }

  /** Sends again what the server has not got. A later hello on the same socket has nothing to do with keys. */
  private _resumeKeys(settled: number | undefined, isFirst: boolean): void {
    if (this._isGreeted) return;
    this._isGreeted = true;
    if (isFirst) return this._keys.restart(settled ?? 0);
    const { resend, lostBytes } = this._keys.resume(settled);
    for (const bytes of resend) for (const part of splitInput(bytes)) this._put(part);
    if (lostBytes > 0) this._listener.onLostKeys(lostBytes);
  }

  private _handleScreen({ cols, rows, data }: Screen): void {
    if (this._received === undefined) return;
    const epoch = this._epoch;
    this._isCatchingUp = true;
    this._screensDue += 1;
    this._listener.onScreen({ cols, rows, data }, () => {
      if (epoch !== this._epoch) return;
      this._screensDue -= 1;
      this._checkCaughtUp();
    });
  }

  private _handleOutput(bytes: Uint8Array): void {
    if (this._received === undefined || bytes.length === 0) return;
    const answered = Math.min(bytes.length, Math.max(0, this._answeredEnd - this._received));
    if (answered > 0) this._draw(bytes.subarray(0, answered), true);
    if (answered < bytes.length) this._draw(bytes.subarray(answered), false);
  }

  private _draw(bytes: Uint8Array, isAnswered: boolean): void {
    this._received = (this._received ?? 0) + bytes.length;
    const end = this._received;
    const epoch = this._epoch;
    this._listener.onOutput(bytes, () => this._handleDrawn(end, epoch), isAnswered);
  }

  // Acknowledging.

  private _handleDrawn(offset: number, epoch: number): void {
    if (epoch !== this._epoch) return;
    this._drawn = Math.max(this._drawn, offset);
    this._checkCaughtUp();
    const isDue = this._hasAnswered;
    this._hasAnswered = false;
    switch (isDue ? this._acks.drawNow(offset) : this._acks.draw(offset, (this._received ?? offset) - offset)) {
      case "now":
        return this._ack();
      case "later":
        this._cancelAck();
        this._cancelAck = this._world.later(ACK_LATER_MS, () => this._ack());
        return;
      case "no":
        return;
    }
  }

  private _checkCaughtUp(): void {
    if (!this._isCatchingUp || this._screensDue > 0 || this._drawn < this._historyEnd) return;
    this._isCatchingUp = false;
    this._listener.onCaughtUp();
  }

  private _ack(): void {
    this._cancelAck();
    if (this._state.kind !== "playing") return;
    const offset = this._acks.take();
    if (offset !== undefined) this._send({ type: "ack", offset });
  }

  // The round trip.

  private _ping(deadlineMs: number): void {
    this._cancelPing();
    this._cancelPing = this._world.later(PING_EVERY_MS, () => this._ping(PONG_MS));
    this._keysSincePing = 0;
    if (!this._visible || this._state.kind !== "playing") return;
    // A later ping gives an unanswered one no more time; only a nudge, being shorter, starts anew.
    if (deadlineMs < PONG_MS) this._forgivePong();
    this._cancelPong ??= this._world.later(deadlineMs, () => this._lost("network"));
    this._send({ type: "ping", t: this._world.now() });
  }

  private _forgivePong(): void {
    this._cancelPong?.();
    this._cancelPong = undefined;
  }

  // Endings.

  private _handleClose(code: number, reason: string): void {
    const hadHello = this._state.kind === "playing";
    this._drop();
    switch (code) {
      case Close.Ended:
        return this._end({ why: "exit", ...this._exit });
      case Close.Idle:
        return this._end({ why: "idle" });
      case Close.Destroyed:
        return this._askReason();
      case Close.Moved:
        return this._end({ why: "moved" });
      case Close.NotAllowed:
        if (this._identity.role === "spectator") return this._end({ why: "unwatched" });
        return this._end({ why: "refused", message: reason || "The server does not allow this connection." });
      case Close.TooBig:
        return this._end({ why: "refused", message: "A message was larger than the server takes." });
      case Close.TakenOver:
        return this._setState({ kind: "away" });
      case Close.EngineFailed:
        return this._lost("engine");
      case Close.GoingAway:
        return this._isDraining ? this._end({ why: "stopped" }) : this._lost("server");
    }
    if (this._exit !== undefined) return this._end({ why: "exit", ...this._exit });
    if (hadHello) this._lost("network");
    else this._failed();
  }

  /** No session behind the attempt: the browser doesn't tell the HTTP status, so ask. */
  private _failed(): void {
    this._drop();
    const waiting = this._state;
    void this._world.probe().then((probe) => {
      if (this._state !== waiting) return; // Somebody retried, or the page is leaving.
      this._unjoined = probe.kind === "running" ? this._unjoined + 1 : 0;
      switch (probe.kind) {
        case "gone":
          return this._end({ why: "gone", ...(probe.isHostLost === true ? { isHostLost: true } : {}) });
        case "stopped":
          return this._end({ why: "exit", ...exitOf(probe) });
        case "refused":
          return this._end({ why: "refused", message: probe.message });
        case "running":
          return this._unjoined < BLOCKED_AFTER ? this._lost("server") : this._askWhy();
        case "unreachable":
          return this._lost("network");
      }
    });
  }

  /** The game was ended, and the close does not say why. */
  private _askReason(): void {
    const waiting = this._state;
    void this._world.probe().then((probe) => {
      if (this._state !== waiting) return;
      const reason = probe.kind === "stopped" ? probe.reason : undefined;
      this._end({ why: "destroyed", ...(reason === undefined ? {} : { reason }) });
    });
  }

  /** The game is there, and no socket again: the server may refuse it, or not know that it was wanted. */
  private _askWhy(): void {
    const waiting = this._state;
    void this._world.wantsUpgrade().then((wants) => {
      if (this._state === waiting) this._lost(wants ? "blocked" : "server");
    });
  }

  private _lost(cause: Cause): void {
    this._drop();
    if (this._playingSince > 0 && this._world.now() - this._playingSince >= STABLE_MS) this._attempt = 0;
    this._playingSince = 0;
    const wait = backoff(this._attempt, this._world.random());
    this._attempt += 1;
    this._cancelRetry = this._world.later(wait, () => this.retry());
    this._setState({ kind: "waiting", cause, retryAt: this._world.now() + wait });
  }

  private _end(ending: Ending): void {
    this._setState({ kind: "ended", ending });
  }

  /** Lets go of the socket. A dead one would take a minute to close, so nobody listens for that. */
  private _drop(code?: number): void {
    this._cancelAttempt();
    this._cancelPing();
    this._forgivePong();
    this._cancelAck();
    this._isOpen = false;
    this._isGreeted = false;
    const socket = this._socket;
    if (socket === undefined) return;
    this._socket = undefined;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close(code);
  }

  private _sendSize(): void {
    if (this._size !== undefined && this._identity.role === "player") this._send({ type: "resize", ...this._size });
  }

  private _send(message: ClientMessage): void {
    if (this._isOpen) this._put(encode(message));
  }

  /** Not while it is closing: keys are kept for the next one, and the browser's console would say that nobody gets it. */
  private _put(data: string | Uint8Array): void {
    if (this._socket?.readyState === OPEN) this._socket.send(data);
  }

  private _setState(state: State): void {
    this._state = state;
    this._listener.onState(state);
  }
}

function nothing(): void {}

/** Exit code and reason alone, without the tag of what carried them. */
function exitOf(fields: { code?: number; reason?: string }): { code?: number; reason?: string } {
  return {
    ...(fields.code === undefined ? {} : { code: fields.code }),
    ...(fields.reason === undefined ? {} : { reason: fields.reason }),
  };
}
