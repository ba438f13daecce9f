// What a program asks its terminal is answered once, and the same, whether a page is there or not.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { after, before, test } from "node:test";

import { COLORS, QUESTIONS } from "../emulator/questions.mjs";
import { Redraws } from "../emulator/restore.mjs";
import { Player, startBrowser, startServer, until } from "./stage.mjs";

/** A few of each kind, and at last the colours as they were. */
const ASKED = [...QUESTIONS.filter((question) => !question.includes("\x18")), ...COLORS.slice(0, 24), ...COLORS.slice(-6, -2), "\x1b]104\x07\x1b]110\x07\x1b]111\x07"].join("");

let server;
let browser;

before(async () => {
  server = await startServer({ SHELLS: "busybox=shellcraft-test/busybox" });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** For printf in busybox's shell. */
const octal = (text) => [...Buffer.from(text)].map((byte) => `\\${byte.toString(8).padStart(3, "0")}`).join("");

/** What the server's emulator answers: how many bytes there must be. */
async function expected({ cols, rows }) {
  const redraws = new Redraws();
  const { answers } = await redraws.of(cols, rows, [`\x1b[H${ASKED}`]);
  await redraws.end();
  return Buffer.from(answers, "base64");
}

test("a question is answered by the page, by the server while there is none, and once", async () => {
  const player = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    await game.start("busybox", "/ $ ");
    const url = game.page.url();
    const [, id] = /session\/([^/]+)/.exec(url);
    const container = `shellcraft-${id}`;
    const inside = (command) => execFileSync("docker", ["exec", container, "/bin/sh", "-c", command]);
    const answers = await expected(await game.size());
    assert.ok(answers.length > 500, `${answers.length} bytes`);

    // It waits for its sign with the terminal as it is to be, and then for all bytes that there must be.
    const ask = (name) =>
      `stty raw -echo; touch /tmp/${name}.ready; until [ -e /tmp/${name}.go ]; do sleep 0.1; done; ` +
      `printf '${octal(`\x1b[H${ASKED}`)}'; dd bs=1 count=${answers.length} of=/tmp/${name} 2>/dev/null; stty sane; clear; echo ${name}-over`;
    // Longer than what busybox edits as one line.
    const prepare = async (name) => {
      execFileSync("docker", ["exec", "-i", container, "/bin/sh", "-c", `cat >/tmp/${name}.sh`], { input: `${ask(name)}\n` });
      await game.type(`. /tmp/${name}.sh`);
      await until("the program to be ready", () => Promise.resolve(inside("ls /tmp").includes(`${name}.ready`)));
    };
    const answered = async (name) => {
      await game.seesLine(`${name}-over`);
      assert.equal(inside(`cat /tmp/${name}`).toString(), answers.toString(), name);
    };

    await prepare("page");
    inside("touch /tmp/page.go");
    await answered("page");

    await prepare("nobody");
    await game.page.goto("about:blank");
    inside("touch /tmp/nobody.go");
    // The file is not there before its program has begun.
    const answeredBytes = () => Number(inside("cat /tmp/nobody 2>/dev/null | wc -c"));
    await until("the answers", () => Promise.resolve(answeredBytes() === answers.length));
    await game.page.goto(url);
    await answered("nobody");

    // Nothing is answered a second time: it would stand at the prompt.
    await game.type("echo once");
    await game.seesLine("once");
    const lines = await game.lines();
    assert.ok(lines.includes("/ $ echo once"), lines.join("\n"));
  } finally {
    await player.leave();
  }
});
