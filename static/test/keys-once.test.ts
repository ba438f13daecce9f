// Keys arrive exactly once, or are reported: a fake server that counts as the real one does, and a wire that is
// cut at every byte.

import assert from "node:assert/strict";
import { test } from "node:test";

import { KEPT_BYTES, SentKeys } from "../src/net/sent-keys";
import { Stage } from "./stage";
import type { FakeSocket } from "./stage";

const bytes = (text: string) => new TextEncoder().encode(text);
const text = (parts: Uint8Array[]) => Buffer.concat(parts).toString();

/** What the container got, and what the server's count says of it. */
class FakeServer {
  received = "";
  private readonly _taken = new Map<FakeSocket, number>();

  constructor(readonly stage: Stage) {}

  hello(): void {
    this.stage.socket.hello(0, false, { input: this.received.length });
  }

  /** Takes at most `most` bytes of what this socket has on the wire. */
  take(socket: FakeSocket, most = Infinity): void {
    const wire = socket.sent.filter((item) => typeof item === "string").join("");
    const from = this._taken.get(socket) ?? 0;
    const end = Math.min(wire.length, from + most);
    this._taken.set(socket, end);
    this.received += wire.slice(from, end);
  }
}

test("two cuts at every pair of bytes: all keys once, in order", () => {
  const words = ["le", "arn hi ", "e", "cho hello", "\r"];
  const whole = words.join("");
  for (let first = 0; first <= whole.length; first += 1) {
    for (let second = 0; second <= whole.length; second += 1) {
      const stage = new Stage();
      const server = new FakeServer(stage);
      stage.connection.start();
      server.hello();
      for (const word of words.slice(0, 3)) stage.connection.input(bytes(word));
      server.take(stage.socket, first);
      stage.socket.drop(1006);
      stage.connection.nudge();
      server.hello();
      for (const word of words.slice(3)) stage.connection.input(bytes(word));
      server.take(stage.socket, second);
      stage.socket.drop(1006);
      stage.connection.nudge();
      server.hello();
      server.take(stage.socket);
      assert.equal(server.received, whole, `cut after ${first} and ${second} bytes`);
      assert.equal(stage.lostBytes, 0);
    }
  }
});

test("pongs between cuts change nothing but what is kept", () => {
  const whole = "abcdefghij".repeat(20);
  for (let cut = 0; cut <= 40; cut += 1) {
    const stage = new Stage();
    const server = new FakeServer(stage);
    stage.connection.start();
    server.hello();
    for (let at = 0; at < whole.length; at += 10) {
      stage.connection.input(bytes(whole.slice(at, at + 10)));
      if (at % 30 === 0) {
        server.take(stage.socket, 7);
        stage.socket.control({ type: "pong", t: 0, input: server.received.length });
      }
      if (at % 50 === 0) {
        server.take(stage.socket, cut);
        stage.socket.drop(1006);
        stage.connection.nudge();
        server.hello();
      }
    }
    server.take(stage.socket);
    assert.equal(server.received, whole);
  }
});

test("another page has typed in between: what was open is reported, not sent again, and counting starts anew", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, false, { input: 0 });
  stage.connection.input(bytes("abc"));
  stage.socket.control({ type: "pong", t: 0, input: 1 });
  stage.socket.drop(4000);
  stage.connection.retry();
  stage.socket.hello(0);
  assert.equal(stage.lostBytes, 2);
  stage.connection.input(bytes("xyz"));
  stage.socket.drop(1006);
  stage.connection.nudge();
  stage.socket.hello(0, false, { input: 1 });
  assert.deepEqual(stage.socket.sent.filter((item) => typeof item === "string"), ["yz"]);
  assert.equal(stage.lostBytes, 2);
});

test("what the terminal answers while there is no connection is sent with the next one; keys are refused", () => {
  const stage = new Stage();
  stage.connection.start();
  assert.equal(stage.connection.input(bytes("early"), true), false, "there is no game yet");
  stage.socket.hello(0, false, { input: 0 });
  stage.connection.input(bytes("ab"));
  stage.socket.output("a question");
  stage.socket.drop(1006);
  assert.equal(stage.connection.input(bytes("key")), false);
  assert.equal(stage.connection.input(bytes("answer"), true), true);
  stage.connection.nudge();
  assert.equal(stage.connection.input(bytes("!"), true), true);
  stage.socket.hello(10, false, { input: 1 });
  assert.equal(stage.socket.sent.filter((item) => typeof item === "string").join(""), "banswer!");
  assert.equal(stage.lostBytes, 0);
});

test("a second hello on the same socket sends nothing again", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, false, { input: 0 });
  stage.connection.input(bytes("abc"));
  stage.socket.control({ type: "hello", offset: 900, role: "player", replay: true, input: 0 });
  assert.deepEqual(stage.socket.sent.filter((item) => typeof item === "string"), ["abc"]);
});

test("a long paste asks for the server's count while it goes out", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, false, { input: 0 });
  for (let n = 0; n < 8; n += 1) stage.connection.input(bytes("x".repeat(4096)));
  assert.equal(stage.socket.of("ping").length, 3); // One at hello, one each 16 KiB.
});

test("what is no longer kept is reported, and nothing behind the gap is sent", () => {
  const keys = new SentKeys();
  keys.restart(0);
  keys.push(new Uint8Array(KEPT_BYTES));
  keys.push(bytes("end"));
  assert.deepEqual(keys.resume(1), { resend: [], lostBytes: KEPT_BYTES + 2 });
  assert.equal(keys.open, 0);
  keys.push(bytes("abc"));
  assert.equal(text(keys.resume(2).resend), "bc");
});

test("a count that can't be is not believed", () => {
  const keys = new SentKeys();
  keys.restart(10);
  keys.push(bytes("abc"));
  keys.settle(14);
  keys.settle(9);
  assert.equal(keys.open, 3);
  assert.deepEqual(keys.resume(14), { resend: [], lostBytes: 3 });
});
