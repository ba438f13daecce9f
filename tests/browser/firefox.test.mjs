// The same page in Firefox: a game from its start to its end, and every key once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Firefox, KEYS } from "./firefox.mjs";
import { Recorder } from "./recorder.mjs";
import { startServer, until } from "./stage.mjs";

let server;
let firefox;

before(async () => {
  server = await startServer({ SHELLS: "rust=shellcraft/rust,busybox=shellcraft-test/busybox" });
  firefox = await Firefox.start();
});

after(async () => {
  await firefox?.stop();
  await server?.stop();
});

/** From the start page to the prompt, by keys. */
async function start(shell, prompt) {
  const game = await firefox.open(server.url);
  await game.page.evaluate((shell) => document.querySelector(`.shell input[value="${shell}"]`).click(), shell);
  await game.page.evaluate(() => document.querySelector("#start-button").focus());
  await game.page.keys([KEYS.Enter]);
  await game.page.waitForURL(/\/session\/[^/]+\/connect$/);
  await game.sees(prompt);
  await until("the game", () => game.isPlaying());
  return game;
}

const { Control, Shift, Alt } = KEYS;

test("a game is played in Firefox from the start page to its end", async () => {
  const game = await start("rust", " ~ $ ");
  await game.type("learn hi echo hello $1");
  await game.seesLine("learned hi");
  await game.type("cast hi world");
  await game.seesLine("hello world");
  // The line before, and the page loaded anew.
  await game.page.keys([KEYS.ArrowUp], [KEYS.Enter]);
  await until("it twice", async () => (await game.lines()).filter((line) => line === "hello world").length === 2);
  await game.page.reload();
  await until("the game", () => game.isPlaying());
  await game.seesLine("hello world");
  // Out of the terminal, and back.
  const focused = () => game.page.evaluate(() => (document.activeElement.closest("#terminal") ? "terminal" : document.activeElement.tagName));
  await game.page.keys([Control, Shift, "x"]);
  assert.equal(await focused(), "BUTTON");
  await game.page.keys([Control, Shift, "x"]);
  assert.equal(await focused(), "terminal");
  await game.type("exit");
  await until("the end", () => game.page.evaluate(() => document.body.dataset.state === "ended"));
  assert.deepEqual(firefox.complaints, [], "the browser's console");
});

test("every key of Firefox arrives once, as what it writes", async () => {
  const game = await start("busybox", "/ $ ");
  const recorder = await Recorder.start(game);
  const typed = (text) => () => game.page.keyboard.type(text);
  const keys = (...chords) => () => game.page.keys(...chords);
  const letters = "The quick brown fox, 0123456789; ~!@#$%^&*()_+`-={}|[]\\:\"<>?./'";
  await recorder.check("letters", typed(letters), letters);
  await recorder.check("other layouts' letters", typed("éß€@ñ привет 世界"), "éß€@ñ привет 世界");
  await recorder.check("control", keys([Control, "c"], [Control, "d"], [Control, "r"], [Control, " "]), "\x03\x04\x12\x00");
  await recorder.check("Alt is Meta", keys([Alt, "b"], [Alt, "."]), "\x1bb\x1b.");
  await recorder.check(
    "keys that write nothing",
    keys([KEYS.ArrowUp], [KEYS.ArrowLeft], [KEYS.Home], [KEYS.End], [KEYS.Backspace], [KEYS.Tab], [KEYS.Escape], [KEYS.Enter], [KEYS.F5]),
    "\x1b[A\x1b[D\x1b[H\x1b[F\x7f\t\x1b\r\x1b[15~",
  );
  await recorder.check("with modifiers", keys([Control, KEYS.ArrowLeft], [Shift, KEYS.Tab], [Alt, KEYS.Backspace]), "\x1b[1;5D\x1b[Z\x1b\x7f");
  assert.deepEqual(firefox.complaints, [], "the browser's console");
});
