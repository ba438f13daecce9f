import assert from "node:assert/strict";
import { test } from "node:test";

import { AckMeter } from "../src/net/ack";
import { retrySeconds } from "../src/net/api";
import { backoff } from "../src/net/backoff";
import type { Ending } from "../src/net/connection";
import { barKey, isCtrlShift, withCtrl } from "../src/page/keys";
import type { Pressed } from "../src/page/keys";
import { LARGEST, largestFitting, SMALLEST } from "../src/page/letterbox";
import { FONT_SIZES, Memory } from "../src/page/memory";
import { bookFault, bookLine, spellCount } from "../src/page/spellbook";
import { changes, cleanPaste, cleanTitle, isTerminalAnswer, webLink } from "../src/page/text";
import { randomUuid } from "../src/net/uuid";
import { serverWidths, widthOf } from "../src/page/widths";
import { cardWords, queueWords, statusWords, tabTitle, timeLeftWords, unsentWords } from "../src/page/words";

test("backoff doubles from 250 ms to 10 s, less up to a half", () => {
  assert.deepEqual([0, 1, 2, 5, 6, 1000].map((attempt) => backoff(attempt, 0)), [250, 500, 1000, 8000, 10000, 10000]);
  assert.equal(backoff(0, 1), 125);
});

test("acks: small things later, floods every 8 KiB, the rest of a flood at once", () => {
  const meter = new AckMeter();
  meter.restart(100);
  assert.equal(meter.draw(110, 0), "later");
  assert.equal(meter.take(), 110);
  assert.equal(meter.take(), undefined);
  assert.equal(meter.draw(4000, 9000), "no");
  assert.equal(meter.draw(8400, 4000), "now");
  assert.equal(meter.take(), 8400);
  assert.equal(meter.draw(9600, 0), "now");
  meter.restart(50);
  assert.equal(meter.draw(50, 0), "no");
});

test("spells are counted as the shells read them", () => {
  const book = ["7ba74375 learn greet echo Hello, $1!", "aaaaaaaa learn om chant", "d9726b26 forget greet", "noise", ""].join("\n");
  assert.equal(spellCount(book), 1);
  assert.equal(spellCount(`${book}bbbbbbbb learn om chant -2\ncccccccc learn hi echo hi`), 2, "learnt anew");
  assert.equal(spellCount("d9726b26 forget greet\n"), 0);
  for (const other of ["", "hi\techo hello\n", "DEADBEEF learn hi echo hi"]) assert.equal(spellCount(other), undefined);
});

test("what is said of a spellbook", () => {
  assert.equal(bookLine(120, 1, 59_000), "1 spell, saved just now");
  assert.equal(bookLine(120, 0, 5 * 60_000), "0 spells, saved 5 min ago");
  assert.equal(bookLine(120, undefined, 47 * 3_600_000), "120 bytes, saved 47 h ago");
  assert.equal(bookLine(70_000, undefined, 49 * 3_600_000), "69 KiB, saved 2 days ago");
});

test("files that can't be spellbooks are told so", () => {
  assert.equal(bookFault(new TextEncoder().encode("7ba74375 learn ü echo\n")), undefined);
  assert.equal(bookFault(new Uint8Array(1 << 20).fill(97)), undefined);
  assert.match(bookFault(new Uint8Array((1 << 20) + 1)) ?? "", /1 MiB at most/);
  assert.match(bookFault(new Uint8Array([0xff, 0xfe])) ?? "", /not text/);
  assert.match(bookFault(new Uint8Array()) ?? "", /empty/);
});

test("the time that is left", () => {
  const short = (seconds: number) => timeLeftWords(seconds).short;
  assert.deepEqual([0, 89, 90, 899, 7_139, 7_200, 86_400].map(short), ["0 s left", "89 s left", "2 min left", "15 min left", "119 min left", "2 h left", "24 h left"]);
  assert.equal(timeLeftWords(900).long, "15 min left if nothing is typed. Press to stay.");
});

test("a place in the queue", () => {
  assert.equal(queueWords({ place: 3, waiting: 12, seconds: 9 }), "Place 3 in the queue, about 9 s");
  assert.equal(queueWords({ place: 100, waiting: 120, seconds: 130 }), "Place 100 in the queue, about 2 min");
});

const pastes: Array<[string, string, string]> = [
  ["text", "ls -l\n\tcat", "ls -l\n\tcat"],
  ["end of bracketed paste", "a\u001b[201~rm\r", "a[201~rm\r"],
  ["C0, DEL and C1", "\u0000a\u0003\u0007\u007f\u009bb", "ab"],
  ["letters of the world", "žluťoučký 日本 😀", "žluťoučký 日本 😀"],
];
for (const [name, text, expected] of pastes) test(`paste: ${name}`, () => assert.equal(cleanPaste(text), expected));

const rewritten: Array<[string, string, string, string]> = [
  ["nothing", "ab", "ab", ""],
  ["more", "ab", "abc", "c"],
  ["less", "ab", "", "\u007f\u007f"],
  ["another word", "cast hi", "cast ho", "\u007fo"],
  ["in the middle", "cast", "cost", "\u007f\u007f\u007fost"],
  ["one character of two halves", "a😀", "a😃", "\u007f😃"],
  ["line ends, and what is no text", "", "ls\n\u001bb\r\n", "ls\rb\r"],
];
for (const [name, before, after, sent] of rewritten) test(`written without keys: ${name}`, () => assert.equal(changes(before, after), sent));

test("titles are short, plain and one line", () => {
  assert.equal(cleanTitle("  a\nb\u202ec "), "a b c");
  assert.equal(Array.from(cleanTitle("😀".repeat(200))).length, 80);
});

test("only web links are links", () => {
  assert.equal(webLink("https://example.org/x"), "https://example.org/x");
  for (const bad of ["javascript:alert(1)", "file:///etc/passwd", "data:text/html,x", "nonsense"]) {
    assert.equal(webLink(bad), undefined);
  }
});

test("answers of the terminal are told from typing", () => {
  for (const answer of ["\u001b[24;80R", "\u001b[?1;2c", "\u001b[>0;276;0c", "\u001b[0n", "\u001b]10;rgb:ff/ff/ff\u001b\\", "\u001bP1$r0m\u001b\\", "\u001b[?2026;2$y"]) {
    assert.ok(isTerminalAnswer(answer), JSON.stringify(answer));
  }
  for (const typed of ["a", "\u001b", "\u001b[A", "\u001bOA", "\u001b[1;5C", "\u001b[200~x\u001b[201~", "\r", "\u001b[3~"]) {
    assert.ok(!isTerminalAnswer(typed), JSON.stringify(typed));
  }
});

test("keys of the bar", () => {
  assert.equal(barKey("ArrowUp", { ctrl: false, applicationCursor: false }), "\u001b[A");
  assert.equal(barKey("ArrowUp", { ctrl: false, applicationCursor: true }), "\u001bOA");
  assert.equal(barKey("ArrowLeft", { ctrl: true, applicationCursor: true }), "\u001b[1;5D");
  assert.equal(barKey("Escape", { ctrl: false, applicationCursor: false }), "\u001b");
  assert.equal(barKey("Interrupt", { ctrl: false, applicationCursor: false }), "\u0003");
  assert.deepEqual(["c", "C", "[", " ", "?", "1", "ab"].map(withCtrl), ["\u0003", "\u0003", "\u001b", "\u0000", "\u007f", "1", "ab"]);
});

test("Retry-After as number or date", () => {
  assert.equal(retrySeconds("3"), 3);
  assert.equal(retrySeconds(null), undefined);
  assert.equal(retrySeconds("soon"), undefined);
  assert.equal(retrySeconds("Thu, 01 Jan 1970 00:00:05 GMT", 1500), 4);
});

test("servers below two paths of a host forget nothing of each other's", () => {
  const shelf = new Map<string, string>();
  const store = { getItem: (key: string) => shelf.get(key) ?? null, setItem: (key: string, value: string) => void shelf.set(key, value) };
  const [root, one, two] = [new Memory(store), new Memory(store, "/one/"), new Memory(store, "/two/")];
  const id = (n: number) => `00000000-0000-4000-8000-00000000000${n}`;
  [root, one, two].forEach((memory, n) => memory.remember({ id: id(n), shell: "rust", startedAt: n }));
  one.forget(id(0));
  one.forget(id(1));
  assert.deepEqual([root, one, two].map((memory) => memory.sessions().map((game) => game.id)), [[id(0)], [], [id(2)]]);
});

test("memory keeps games, newest first, and survives nonsense", () => {
  const shelf = new Map<string, string>();
  const memory = new Memory({ getItem: (key) => shelf.get(key) ?? null, setItem: (key, value) => void shelf.set(key, value) });
  const id = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, "0")}`;
  for (let n = 0; n < 20; n += 1) memory.remember({ id: id(n), shell: "rust", startedAt: n });
  assert.equal(memory.sessions().length, 12);
  assert.equal(memory.sessions()[0]?.id, id(19));
  memory.forget(id(19));
  assert.equal(memory.find(id(19)), undefined);
  assert.equal(memory.change({ fontSize: 500 }).fontSize, FONT_SIZES.largest);
  shelf.set("shellcraft.sessions", '[{"id":"../../x"},7,null]');
  shelf.set("shellcraft.settings", "{");
  assert.deepEqual(memory.sessions(), []);
  assert.equal(memory.settings().fontSize, FONT_SIZES.usual);
  assert.deepEqual(new Memory(undefined).sessions(), []);
});

test("words for states", () => {
  assert.deepEqual(statusWords({ kind: "waiting", cause: "network", retryAt: 4_100 }, 1_000), { mark: "wait", label: "reconnecting in 4 s", aloud: "reconnecting" });
  assert.equal(cardWords({ kind: "playing", role: "player" }, "player", true), undefined);
  assert.deepEqual(cardWords({ kind: "away" }, "player", true)?.actions, ["take-back"]);
  assert.equal(cardWords({ kind: "ended", ending: { why: "exit", code: 137, reason: "out_of_memory" } }, "player", true)?.text, "Exit code 137. Reason: out of memory. Once your spellbook is saved, the next game begins with it.");
  assert.equal(cardWords({ kind: "ended", ending: { why: "exit", code: 0, reason: "exited" } }, "player", true)?.text, "Exit code 0, all is well. Once your spellbook is saved, the next game begins with it.");
  assert.equal(cardWords({ kind: "ended", ending: { why: "unwatched" } }, "spectator", true)?.text, "The player has ended watching.");
  assert.deepEqual(cardWords({ kind: "ended", ending: { why: "exit", code: 0 } }, "spectator", true)?.actions, []);
  assert.equal(unsentWords({ kind: "connecting", again: true }), "Not connected: keys are not sent.");
  assert.equal(unsentWords({ kind: "playing", role: "spectator" }), undefined);
});

test("letters are as large as fits", () => {
  assert.equal(largestFitting((size) => size <= 13.3), 13.25);
  assert.equal(largestFitting(() => true), LARGEST);
  assert.equal(largestFitting(() => false), SMALLEST);
});

test("UUIDs are random and of version 4", () => {
  assert.match(randomUuid(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assert.notEqual(randomUuid(), randomUuid());
});

test("columns of a character: controls and marks none, wide ones two, at both ends of their ranges", () => {
  const none = [0, 0x1f, 0x7f, 0x9f, 0x300, 0x36f, 0x1160, 0x200b, 0xfe0f, 0xe0100, 0xe01ef];
  const one = [0x20, 0x7e, 0xa0, 0xad, 0x2ff, 0x370, 0x2764, 0x1f1e6, 0xe01f0, 0x10ffff];
  const two = [0x1100, 0x115f, 0x4e00, 0x9fff, 0xac00, 0xd7a3, 0x1f3fb, 0x1f600, 0x1fae8, 0x20000, 0x3fffd];
  for (const [codes, width] of [[none, 0], [one, 1], [two, 2]] as const) {
    for (const code of codes) assert.equal(widthOf(code), width, code.toString(16));
  }
});

test("a character without width joins what is before it, and leaves its width alone", () => {
  const joined = (text: string) =>
    [...text].reduce((before, c) => serverWidths.charProperties(c.codePointAt(0) ?? 0, before), 0);
  assert.equal(joined("e"), joined("\u4e16e"));
  assert.equal(joined("e\u0301"), joined("e\u0301\u0302"));
  assert.notEqual(joined("e\u0301"), joined("\u4e16\u0301"));
  assert.equal(joined("\u0301"), 0);
});

test("a letter with Ctrl and Shift is known by its character, and by its place where the layout has no such letters", () => {
  const pressed = (key: string, code: string, more: Partial<Pressed> = {}) =>
    isCtrlShift({ key, code, ctrlKey: true, shiftKey: true, altKey: false, metaKey: false, ...more }, "C");
  assert.ok(pressed("C", "KeyC"));
  assert.ok(pressed("C", "KeyI"), "Dvorak");
  assert.ok(!pressed("J", "KeyC"), "Dvorak");
  assert.ok(pressed("С", "KeyC"), "Cyrillic");
  assert.ok(!pressed("C", "KeyC", { shiftKey: false }));
  assert.ok(!pressed("C", "KeyC", { altKey: true }), "AltGr");
});

test("each ending says what became of the game and of the book", () => {
  const text = (ending: Ending, hasRoomForBook = true) => cardWords({ kind: "ended", ending }, "player", hasRoomForBook)?.text ?? "";
  assert.match(text({ why: "destroyed", reason: "max_lifetime" }), /^The game has lasted as long as one may\. Once your spellbook is saved, the next game begins with it\.$/);
  assert.match(text({ why: "gone", isHostLost: true }), /another one, with your spellbook as it was saved last\.$/);
  assert.match(text({ why: "moved" }), /another has taken your game over: play on there\.$/);
  assert.match(text({ why: "destroyed" }), /by you, or by whoever runs this server/);
  assert.match(text({ why: "stopped" }), /^All games have ended with it\. Once your spellbook is saved, the next game begins with it\.$/);
  assert.match(text({ why: "idle" }, false), /Your spellbook was not kept/);
  assert.doesNotMatch(text({ why: "refused", message: "No." }), /spellbook/);
});

test("the tab says when there is something to do", () => {
  assert.equal(tabTitle({ kind: "playing", role: "player" }, ""), "ShellCraft");
  assert.equal(tabTitle({ kind: "playing", role: "player" }, "vim"), "vim · ShellCraft");
  assert.equal(tabTitle({ kind: "playing", role: "player" }, "vim", 30), "30 s left · ShellCraft");
  assert.equal(tabTitle({ kind: "waiting", cause: "network", retryAt: 0 }, "vim"), "Reconnecting · ShellCraft");
  assert.equal(tabTitle({ kind: "away" }, "vim"), "Elsewhere · ShellCraft");
  assert.equal(tabTitle({ kind: "ended", ending: { why: "idle" } }, "vim"), "Ended · ShellCraft");
});
