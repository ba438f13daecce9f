import assert from "node:assert/strict";
import { test } from "node:test";

import { decode, encode, INPUT_FRAME_BYTES, splitInput, within } from "../src/net/frames";

const decoded: Array<[string, string, unknown]> = [
  ["hello", '{"type":"hello","session_id":"a","offset":7,"role":"player","replay":true}',
    { type: "hello", offset: 7, role: "player", replay: true }],
  ["hello with head", '{"type":"hello","session_id":"a","offset":0,"role":"spectator","replay":false,"head":9}',
    { type: "hello", offset: 0, role: "spectator", replay: false, head: 9 }],
  ["hello with settled keys", '{"type":"hello","offset":0,"role":"player","replay":false,"input":12}',
    { type: "hello", offset: 0, role: "player", replay: false, input: 12 }],
  ["screen", '{"type":"screen","cols":80,"rows":24,"data":"x"}', { type: "screen", cols: 80, rows: 24, data: "x" }],
  ["screen without data", '{"type":"screen","cols":80,"rows":24}', undefined],
  ["size", '{"type":"size","cols":80,"rows":24}', { type: "size", cols: 80, rows: 24 }],
  ["size beyond reason", '{"type":"size","cols":80000,"rows":24}', undefined],
  ["spectators", '{"type":"spectators","count":3}', { type: "spectators", count: 3 }],
  ["spectators, negative", '{"type":"spectators","count":-3}', undefined],
  ["hello without offset", '{"type":"hello","session_id":"a"}', undefined],
  ["hello with a broken offset", '{"type":"hello","session_id":"a","offset":-1}', undefined],
  ["exit", '{"type":"exit","code":3,"reason":"exited"}', { type: "exit", code: 3, reason: "exited" }],
  ["exit without a code", '{"type":"exit","code":null,"reason":"killed"}', { type: "exit", reason: "killed" }],
  ["notice", '{"type":"notice","kind":"engine_back","level":"info","text":"back"}',
    { type: "notice", kind: "engine_back", level: "info", text: "back" }],
  ["notice of a new kind and level", '{"type":"notice","kind":"storm","level":"loud","text":"x"}',
    { type: "notice", kind: "other", level: "info", text: "x" }],
  ["notice with a countdown", '{"type":"notice","kind":"idle_warning","level":"warning","text":"idle","ends_in":60}',
    { type: "notice", kind: "idle_warning", level: "warning", text: "idle", endsIn: 60 }],
  ["notice of an end that no key puts off", '{"type":"notice","kind":"lifetime_warning","level":"warning","text":"old","ends_in":60}',
    { type: "notice", kind: "lifetime_warning", level: "warning", text: "old" }],
  ["notice with a broken countdown", '{"type":"notice","level":"info","text":"idle","ends_in":"soon"}',
    { type: "notice", kind: "other", level: "info", text: "idle" }],
  ["pong with settled keys", '{"type":"pong","t":1,"input":5}', { type: "pong", t: 1, input: 5 }],
  ["pong, odd keys", '{"type":"pong","t":1,"input":-5}', { type: "pong", t: 1 }],
  ["pong", '{"type":"pong","t":12.5}', { type: "pong", t: 12.5 }],
  ["unknown type", '{"type":"weather","count":3}', undefined],
  ["no object", "[1]", undefined],
  ["null", "null", undefined],
  ["no JSON", "{", undefined],
];
for (const [name, text, expected] of decoded) {
  test(`decode: ${name}`, () => assert.deepEqual(decode(text), expected));
}

test("encode", () => {
  assert.equal(encode({ type: "resize", cols: 120, rows: 40 }), '{"type":"resize","cols":120,"rows":40}');
  assert.equal(encode({ type: "stay" }), '{"type":"stay"}');
  assert.equal(encode({ type: "ack", offset: 9 }), '{"type":"ack","offset":9}');
});

test("input is cut, in order and whole", () => {
  const bytes = Uint8Array.from({ length: 2 * INPUT_FRAME_BYTES + 5 }, (_, index) => index % 251);
  const parts = splitInput(bytes);
  assert.deepEqual(parts.map(({ length }) => length), [INPUT_FRAME_BYTES, INPUT_FRAME_BYTES, 5]);
  assert.deepEqual(Buffer.concat(parts), Buffer.from(bytes));
});

test("a terminal is no larger than the server allows", () => {
  assert.deepEqual(within({ cols: 80, rows: 24 }), { cols: 80, rows: 24 });
  assert.deepEqual(within({ cols: 426, rows: 120 }), { cols: 426, rows: 120 });
  assert.deepEqual(within({ cols: 2000, rows: 2000 }), { cols: 1000, rows: 100 });
  assert.deepEqual(within({ cols: 50, rows: 5000 }), { cols: 50, rows: 1000 });
});
