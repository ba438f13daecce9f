import assert from "node:assert/strict";
import { test } from "node:test";

import { readCast } from "../src/net/cast";
import { clockWords } from "../src/page/words";

const HEADER = `{"version":2,"width":80,"height":24,"timestamp":7}`;

test("a recording's output and sizes, with long pauses shortened", () => {
  const lines = [HEADER, `[0.0,"o","$ "]`, `[600.5,"o","ls\\r\\n"]`, `[601.0,"r","100x30"]`, `[601.25,"o","ü"]`, ""];
  assert.deepEqual(readCast(lines.join("\n")), {
    cols: 80,
    rows: 24,
    seconds: 2.75,
    events: [
      { at: 0, data: "$ " },
      { at: 2, data: "ls\r\n" },
      { at: 2.5, cols: 100, rows: 30 },
      { at: 2.75, data: "ü" },
    ],
  });
  assert.deepEqual(readCast(HEADER), { cols: 80, rows: 24, seconds: 0, events: [] });
});

test("what is no recording, and events that nobody knows", () => {
  for (const none of ["", "hello", "null", "[]", "2", `{"version":3,"width":80,"height":24}`, `{"version":2}`, `{"version":2,"width":0,"height":24}`]) {
    assert.equal(readCast(none), undefined, none);
  }
  const strange = [`[1,"m","marker"]`, `[2,"r","0x"]`, `[2,"i","ls"]`, `["x","o","y"]`, `[3,"o"]`, `nonsense`, `{"o":1}`, `5`, `null`];
  assert.deepEqual(readCast([HEADER, ...strange].join("\n"))?.events, []);
  // Time only goes on, and a terminal has a size that can be drawn.
  const odd = readCast([HEADER, `[5,"o","a"]`, `[4,"o","b"]`, `[4,"r","9999x1"]`, `[5,"r","1x0"]`].join("\n"));
  assert.deepEqual(odd?.events, [{ at: 2, data: "a" }, { at: 2, data: "b" }, { at: 2, cols: 1000, rows: 1 }]);
});

test("how far it is played", () => {
  assert.equal(clockWords(0, 5.9), "0:00 of 0:05");
  assert.equal(clockWords(65.2, 3_600), "1:05 of 60:00");
});
