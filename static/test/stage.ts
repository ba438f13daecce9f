/** A world for a connection whose socket, clock and server are in the test's hands. */

import { Connection } from "../src/net/connection";
import type { Listener, Probe, Socket, State, World } from "../src/net/connection";
import type { Role } from "../src/net/frames";

/** A WebSocket whose other end is the test. */
export class FakeSocket implements Socket {
  binaryType = "";
  bufferedAmount = 0;
  readyState = 1;
  onopen: Socket["onopen"] = null;
  onmessage: Socket["onmessage"] = null;
  onclose: Socket["onclose"] = null;
  onerror: Socket["onerror"] = null;
  readonly sent: unknown[] = [];
  isClosed = false;

  constructor(readonly url: string) {}

  send(data: string | Uint8Array): void {
    if (this.readyState !== 1) throw new Error("a browser complains of this in its console");
    this.sent.push(typeof data === "string" ? JSON.parse(data) : Buffer.from(data).toString());
  }
  /** The other end has sent its close frame; `drop` comes later. */
  beginClose(): void {
    this.readyState = 2;
  }
  close(): void {
    this.isClosed = true;
  }
  open(): void {
    this.onopen?.(undefined as never);
  }
  control(message: object): void {
    this.onmessage?.({ data: JSON.stringify(message) });
  }
  hello(offset: number, replay = false, more: object = {}): void {
    this.open();
    this.control({ type: "hello", session_id: "s", offset, role: "player", replay, ...more });
  }
  output(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.onmessage?.({ data: bytes.buffer });
  }
  drop(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  of(type: string): Array<Record<string, unknown>> {
    return this.sent.filter((item): item is Record<string, unknown> => (item as { type?: string }).type === type);
  }
}

/** A connection in a world whose clock the test turns. */
export class Stage {
  readonly sockets: FakeSocket[] = [];
  readonly states: State[] = [];
  readonly pending: Array<() => void> = [];
  screen = "";
  probe: Probe = { kind: "running" };
  /** Whether the server, asked without an upgrade, would want one. */
  wantsUpgrade = false;
  history = "";
  latency: number | undefined;
  size = "window";
  notice = "";
  spectators = 0;
  lostBytes = 0;
  private _now = 1_000;
  private _timers: Array<{ at: number; run: () => void }> = [];

  private readonly _world: World = {
    open: (url) => {
      const socket = new FakeSocket(url);
      this.sockets.push(socket);
      return socket;
    },
    probe: () => Promise.resolve(this.probe),
    wantsUpgrade: () => Promise.resolve(this.wantsUpgrade),
    now: () => this._now,
    random: () => 0,
    later: (ms, run) => {
      const timer = { at: this._now + ms, run };
      this._timers.push(timer);
      return () => (this._timers = this._timers.filter((other) => other !== timer));
    },
  };

  readonly connection: Connection;

  constructor(role: Role = "player") {
    this.connection = new Connection("ws://host/session/s/ws", this._world, this._listener, { role, client: "c" });
  }

  private readonly _listener: Listener = {
    onState: (state) => this.states.push(state),
    onOutput: (bytes, drawn, history) => {
      const text = Buffer.from(bytes).toString();
      this.screen += text;
      if (history) this.history += text;
      this.pending.push(drawn);
    },
    onRestart: () => (this.screen = ""),
    onScreen: ({ cols, rows, data }, drawn) => {
      this.screen = data;
      this.size = `${cols}x${rows}`;
      this.pending.push(drawn);
    },
    onCaughtUp: () => (this.size = "window"),
    onNotice: ({ kind, text, endsIn }) => (this.notice = `${kind} ${text} ${endsIn ?? "-"}`),
    onLatency: (ms) => (this.latency = ms),
    onLostKeys: (bytes) => (this.lostBytes += bytes),
    onSpectators: (count) => (this.spectators = count),
    onSize: (cols, rows) => (this.size = `${cols}x${rows}`),
  };

  get socket(): FakeSocket {
    return this.sockets[this.sockets.length - 1] as FakeSocket;
  }
  get kind(): string {
    return this.connection.state.kind;
  }
  drawAll(): void {
    for (const drawn of this.pending.splice(0)) drawn();
  }
  pass(ms: number): void {
    const end = this._now + ms;
    for (;;) {
      const next = this._timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0];
      if (next === undefined) break;
      this._timers = this._timers.filter((timer) => timer !== next);
      this._now = next.at;
      next.run();
    }
    this._now = end;
  }
}
