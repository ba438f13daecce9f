import assert from "node:assert/strict";
import { test } from "node:test";

import type { Probe } from "../src/net/connection";
import { Stage } from "./stage";

function playing(): Stage {
  const stage = new Stage();
  stage.connection.resize(80, 24);
  stage.connection.start();
  stage.socket.hello(0);
  return stage;
}

const input = (text: string) => new TextEncoder().encode(text);
/** Lets promises that are already settled run. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test("the size goes out first, before hello", () => {
  const stage = new Stage();
  stage.connection.resize(100, 30);
  stage.connection.start();
  assert.deepEqual(stage.socket.sent, []);
  stage.socket.open();
  assert.deepEqual(stage.socket.sent, [{ type: "resize", cols: 100, rows: 30 }]);
  assert.equal(stage.kind, "connecting");
  stage.connection.resize(100, 30);
  assert.equal(stage.socket.of("resize").length, 1);
});

test("input goes out only while playing, and is never kept", () => {
  const stage = new Stage();
  stage.connection.start();
  assert.equal(stage.connection.input(input("a")), false);
  stage.socket.hello(0);
  assert.equal(stage.connection.input(input("b")), true);
  stage.socket.drop(1006);
  assert.equal(stage.connection.input(input("c")), false);
  stage.pass(250);
  stage.socket.hello(0);
  const typed = stage.sockets.flatMap(({ sent }) => sent.filter((item) => typeof item === "string"));
  assert.deepEqual(typed, ["b"]);
});

test("a network that has stopped takes no more input", () => {
  const stage = playing();
  stage.socket.bufferedAmount = 256 * 1024;
  assert.equal(stage.connection.input(input("x")), false);
});

test("a spectator sends neither keys nor sizes, but acks", () => {
  const stage = new Stage("spectator");
  stage.connection.resize(80, 24);
  stage.connection.start();
  assert.equal(stage.socket.url, "ws://host/session/s/ws");
  stage.socket.hello(0, false, { role: "spectator" });
  assert.equal(stage.connection.input(input("x")), false);
  stage.socket.control({ type: "size", cols: 132, rows: 43 });
  assert.equal(stage.size, "132x43");
  stage.socket.output("x".repeat(9000));
  stage.drawAll();
  assert.deepEqual(stage.socket.sent.filter((item) => (item as { type?: string }).type !== "ping"), [{ type: "ack", offset: 9000 }]);
  stage.socket.drop(1006);
  stage.pass(250);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?from=9000");
  stage.socket.hello(9000, false, { role: "spectator" });
  stage.socket.drop(1008, "whatever");
  assert.deepEqual(stage.connection.state, { kind: "ended", ending: { why: "unwatched" } });
});

test("a screen is drawn at its own size until the past is drawn, and has no offsets", () => {
  const stage = playing();
  stage.socket.output("abc");
  stage.socket.drop(1006);
  stage.pass(250);
  stage.socket.hello(900, true, { head: 905 });
  stage.socket.control({ type: "screen", cols: 100, rows: 30, data: "SCREEN" });
  assert.equal(stage.size, "100x30");
  stage.socket.output("12");
  stage.drawAll();
  assert.equal(stage.size, "100x30");
  stage.socket.output("345");
  assert.equal(stage.size, "100x30");
  stage.drawAll();
  assert.equal(stage.size, "window");
  assert.equal(stage.screen, "SCREEN12345");
  assert.equal(stage.history, "12345");
  stage.pass(200);
  assert.deepEqual(stage.socket.of("ack").at(-1), { type: "ack", offset: 905 });
  stage.socket.drop(1006);
  stage.connection.nudge();
  assert.match(stage.socket.url, /from=905$/);
});

test("a screen with nothing behind it is caught up once it is drawn", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(900, true, { head: 900 });
  stage.socket.control({ type: "screen", cols: 100, rows: 30, data: "SCREEN" });
  assert.equal(stage.size, "100x30");
  stage.drawAll();
  assert.equal(stage.size, "window");
});

test("spectators and an idle warning are passed on", () => {
  const stage = playing();
  stage.socket.control({ type: "spectators", count: 3 });
  stage.socket.control({ type: "notice", kind: "idle_warning", level: "warning", text: "idle", ends_in: 42 });
  assert.equal(stage.spectators, 3);
  assert.equal(stage.notice, "idle_warning idle 42");
});

test("a cut resumes behind the last byte received", () => {
  const stage = playing();
  stage.socket.output("hello ");
  stage.socket.drop(1006);
  assert.equal(stage.kind, "waiting");
  stage.pass(250);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=6");
  stage.socket.hello(6);
  stage.socket.output("world");
  assert.equal(stage.screen, "hello world");
});

test("a replay starts from an empty screen, and old callbacks acknowledge nothing", () => {
  const stage = playing();
  stage.socket.output("x".repeat(20_000));
  stage.socket.drop(1001);
  stage.pass(250);
  stage.socket.hello(5, true);
  stage.drawAll();
  stage.pass(200);
  assert.deepEqual(stage.socket.of("ack"), []);
  stage.socket.output("new");
  assert.equal(stage.screen, "new");
  stage.drawAll();
  stage.pass(200);
  assert.deepEqual(stage.socket.of("ack"), [{ type: "ack", offset: 8 }]);
});

test("a second hello while playing, after skipped output, starts anew", () => {
  const stage = playing();
  stage.socket.output("abc");
  stage.socket.control({ type: "hello", session_id: "s", offset: 900, role: "player", replay: true });
  stage.socket.output("xyz");
  assert.equal(stage.screen, "xyz");
  stage.socket.drop(1006);
  stage.pass(250);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=903");
});

test("an offset other than asked for is a replay, whatever the server says", () => {
  const stage = playing();
  stage.socket.output("abc");
  stage.socket.drop(1006);
  stage.pass(250);
  stage.socket.hello(0, false);
  stage.socket.output("abc");
  assert.equal(stage.screen, "abc");
});

test("what lies before `head` is history at first, and after a cut it is not", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, true, { head: 3 });
  stage.socket.output("old");
  stage.socket.output("new");
  assert.equal(stage.history, "old");
  stage.socket.drop(1006);
  stage.pass(250);
  stage.socket.hello(6, false, { head: 9 });
  stage.socket.output("gap");
  assert.equal(stage.history, "old");
});

test("what another has answered while this page was away is history to it", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, false, { head: 0, answered: 0 });
  stage.socket.output("abc");
  stage.socket.drop(1006);
  stage.connection.nudge();
  stage.socket.hello(3, false, { head: 9, answered: 7, input: 0 });
  stage.socket.output("defghi");
  assert.equal(stage.history, "defg");
});

test("what was answered is reported as drawn at once, and once", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, false, { input: 0 });
  stage.socket.output("question");
  stage.connection.input(new TextEncoder().encode("answer"), true);
  stage.socket.output("more");
  stage.pending.shift()?.();
  assert.deepEqual(stage.socket.of("ack"), [{ type: "ack", offset: 8 }]);
  stage.pending.shift()?.();
  assert.equal(stage.socket.of("ack").length, 1);
});

test("what no page was sent before is no history: questions in it are answered by this one", () => {
  const stage = new Stage();
  stage.connection.start();
  stage.socket.hello(0, true, { head: 9, answered: 3 });
  stage.socket.output("oldnew");
  assert.equal(stage.history, "old");
  assert.equal(stage.screen, "oldnew");
  // Both are drawn, and still what lay behind the game when this page came.
  stage.socket.output("end");
  stage.drawAll();
  stage.pass(200);
  assert.deepEqual(stage.socket.of("ack").at(-1), { type: "ack", offset: 9 });
  assert.equal(stage.history, "old");
});

test("the last count before a close settles keys that the next server does not know", () => {
  const stage = playing();
  stage.connection.input(new TextEncoder().encode("look\r"));
  stage.socket.control({ type: "keys", input: 5 });
  stage.socket.drop(1001);
  stage.pass(250);
  stage.socket.hello(0);
  assert.equal(stage.lostBytes, 0);
});

test("a flood is acknowledged every 8 KiB", () => {
  const stage = playing();
  for (let n = 0; n < 8; n += 1) stage.socket.output("x".repeat(4096));
  stage.drawAll();
  assert.deepEqual(stage.socket.of("ack").map(({ offset }) => offset), [8192, 16384, 24576, 32768]);
});

test("waits grow while attempts fail, and start small after a good connection", () => {
  const stage = playing();
  const waits: number[] = [];
  for (let n = 0; n < 7; n += 1) {
    const before = stage.sockets.length;
    stage.socket.drop(1001);
    let waited = 0;
    while (stage.sockets.length === before) {
      stage.pass(50);
      waited += 50;
    }
    waits.push(waited);
  }
  assert.deepEqual(waits, [250, 500, 1000, 2000, 4000, 8000, 10_000]);
  stage.socket.hello(0);
  stage.socket.control({ type: "pong", t: 0 });
  stage.pass(6_000);
  stage.socket.drop(1006);
  stage.pass(250);
  assert.equal(stage.sockets.length, 9);
});

test("the page coming back tries at once", () => {
  const stage = playing();
  for (let n = 0; n < 5; n += 1) {
    stage.socket.drop(1001);
    stage.pass(10_000);
  }
  stage.socket.drop(1001);
  const before = stage.sockets.length;
  stage.connection.nudge();
  assert.equal(stage.sockets.length, before + 1);
});

test("a dead connection is found by its silence", () => {
  const stage = playing();
  stage.socket.control({ type: "pong", t: 990 });
  assert.equal(stage.latency, 10);
  stage.pass(5_000); // The next ping goes out, and nothing comes back.
  const dead = stage.socket;
  stage.pass(4_999);
  assert.equal(stage.kind, "playing");
  stage.pass(10_000);
  assert.ok(dead.isClosed);
  assert.equal(stage.sockets.length, 2);
});

test("staying is said to a server that listens, and typed nowhere", () => {
  const stage = playing();
  assert.equal(stage.connection.stay(), true);
  assert.equal(stage.socket.of("stay").length, 1);
  stage.socket.drop(1006);
  assert.equal(stage.connection.stay(), false);
});

test("a hidden page does not ping", () => {
  const stage = playing();
  stage.socket.control({ type: "pong", t: 0 });
  stage.connection.setVisible(false);
  stage.pass(60_000);
  assert.equal(stage.socket.of("ping").length, 1);
  stage.connection.setVisible(true);
  assert.equal(stage.socket.of("ping").length, 2);
});

const closings: Array<[string, number, object | undefined, object]> = [
  ["1000 after exit", 1000, { type: "exit", code: 3, reason: "exited" }, { kind: "ended", ending: { why: "exit", code: 3, reason: "exited" } }],
  ["1000 alone", 1000, undefined, { kind: "ended", ending: { why: "exit" } }],
  ["a cut after exit", 1006, { type: "exit", code: 0 }, { kind: "ended", ending: { why: "exit", code: 0 } }],
  ["1009", 1009, undefined, { kind: "ended", ending: { why: "refused", message: "A message was larger than the server takes." } }],
  ["4000", 4000, undefined, { kind: "away" }],
  ["4001", 4001, undefined, { kind: "ended", ending: { why: "idle" } }],
  ["4003", 4003, undefined, { kind: "ended", ending: { why: "moved" } }],
  ["1011", 1011, undefined, { kind: "waiting", cause: "engine", retryAt: 1_250 }],
  ["1001", 1001, undefined, { kind: "waiting", cause: "server", retryAt: 1_250 }],
  ["1001 after a drain", 1001, { type: "notice", kind: "drain", level: "warning", text: "x" }, { kind: "ended", ending: { why: "stopped" } }],
  ["1001 before a drain", 1001, { type: "notice", kind: "drain", level: "warning", text: "x", ends_in: 600 }, { kind: "waiting", cause: "server", retryAt: 1_250 }],
];
for (const [name, code, control, expected] of closings) {
  test(`close: ${name}`, () => {
    const stage = playing();
    if (control !== undefined) stage.socket.control(control);
    stage.socket.drop(code);
    assert.deepEqual(stage.connection.state, expected);
    if (stage.kind !== "waiting") {
      stage.pass(60_000);
      stage.connection.nudge();
      assert.equal(stage.sockets.length, 1, "no attempt follows");
    }
  });
}

for (const [probe, ending] of [
  [{ kind: "stopped", reason: "max_lifetime" }, { why: "destroyed", reason: "max_lifetime" }],
  [{ kind: "gone" }, { why: "destroyed" }],
  [{ kind: "unreachable" }, { why: "destroyed" }],
] as const) {
  test(`close: 4002, and the status is ${probe.kind}`, async () => {
    const stage = playing();
    stage.probe = probe;
    stage.socket.drop(4002);
    await settle();
    assert.deepEqual(stage.connection.state, { kind: "ended", ending });
    stage.pass(60_000);
    assert.equal(stage.sockets.length, 1, "no attempt follows");
  });
}

test("without a network the connection is given up at once, and tried as soon as there is one", () => {
  const stage = playing();
  stage.connection.loseNetwork();
  assert.equal(stage.kind, "waiting");
  assert.ok(stage.sockets[0]?.isClosed);
  stage.connection.nudge();
  assert.equal(stage.sockets.length, 2);
});

test("taken over: only the player takes it back, at the same offset", () => {
  const stage = playing();
  stage.socket.output("abc");
  stage.socket.drop(4000);
  stage.connection.retry();
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=3");
});

const probes: Array<[Probe, string]> = [
  [{ kind: "gone" }, '{"kind":"ended","ending":{"why":"gone"}}'],
  [{ kind: "gone", isHostLost: true }, '{"kind":"ended","ending":{"why":"gone","isHostLost":true}}'],
  [{ kind: "stopped", code: 1 }, '{"kind":"ended","ending":{"why":"exit","code":1}}'],
  [{ kind: "refused", message: "no" }, '{"kind":"ended","ending":{"why":"refused","message":"no"}}'],
  [{ kind: "running" }, '{"kind":"waiting","cause":"server","retryAt":1250}'],
  [{ kind: "unreachable" }, '{"kind":"waiting","cause":"network","retryAt":1250}'],
];
for (const [probe, expected] of probes) {
  test(`a refused upgrade asks the status: ${probe.kind}`, async () => {
    const stage = new Stage();
    stage.probe = probe;
    stage.connection.start();
    stage.socket.drop(1006);
    await settle();
    assert.equal(JSON.stringify(stage.connection.state), expected);
  });
}

for (const [wantsUpgrade, cause] of [[true, "blocked"], [false, "server"]] as const) {
  test(`no WebSocket twice, though the game runs: ${cause}, and no longer once one gets through`, async () => {
    const stage = new Stage();
    stage.wantsUpgrade = wantsUpgrade;
    const fail = async (): Promise<string> => {
      stage.socket.drop(1006);
      await settle();
      const { state } = stage.connection;
      stage.connection.retry();
      return state.kind === "waiting" ? state.cause : state.kind;
    };
    stage.connection.start();
    // A server that was away for a moment looks the same, once.
    assert.deepEqual([await fail(), await fail(), await fail()], ["server", cause, cause]);
    stage.probe = { kind: "unreachable" };
    assert.equal(await fail(), "network");
    stage.probe = { kind: "running" };
    assert.deepEqual([await fail(), await fail()], ["server", cause]);
    stage.socket.hello(0);
    stage.socket.drop(1006);
    stage.connection.retry();
    assert.equal(await fail(), "server");
  });
}

test("an upgrade nobody answers is given up after 10 s", async () => {
  const stage = new Stage();
  stage.probe = { kind: "unreachable" };
  stage.connection.start();
  stage.pass(10_000);
  await settle();
  assert.ok(stage.socket.isClosed);
  assert.equal(stage.kind, "waiting");
});

test("a terminal that was opened anew is told the screen as it is now, and the keys go on", () => {
  const stage = playing();
  stage.socket.output("deadly");
  stage.connection.input(input("k"));
  stage.connection.redraw();
  assert.equal(stage.kind, "waiting");
  stage.drawAll();
  stage.pass(250);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=6&screen=now");
  stage.socket.hello(9, true, { head: 9, answered: 9, input: 1 });
  stage.socket.control({ type: "screen", cols: 80, rows: 24, data: "SCREEN" });
  assert.equal(stage.screen, "SCREEN");
  stage.socket.output("on");
  stage.drawAll();
  stage.pass(200);
  assert.deepEqual(stage.socket.of("ack"), [{ type: "ack", offset: 11 }]);
  assert.equal(stage.lostBytes, 0);
  // The next time it goes on where it was.
  stage.socket.drop(1006);
  stage.pass(500);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=11");
});

test("a terminal that is opened anew while the page is cut off is told so when it is back", () => {
  const stage = playing();
  stage.socket.output("deadly");
  stage.socket.drop(1006);
  stage.connection.redraw();
  stage.pass(250);
  assert.equal(stage.socket.url, "ws://host/session/s/ws?client=c&from=6&screen=now");
  // Even where the screen could not be had, the empty terminal begins with what is told.
  stage.socket.hello(6);
  stage.socket.output("more");
  assert.equal(stage.screen, "more");
});
