// Exactly once, both ways, in a shell that can count: busybox's.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Player, startBrowser, startServer, until, Wire } from "./stage.mjs";

let server;
let browser;
let wire;

before(async () => {
  server = await startServer({ SHELLS: "busybox=shellcraft-test/busybox" });
  browser = await startBrowser();
  wire = await Wire.to(server.url);
});

after(async () => {
  await browser?.close();
  await wire?.close();
  await server?.stop();
});

function story(name, tell) {
  test(name, async () => {
    const player = await Player.enter(browser);
    player.mayBeCut = true;
    try {
      await tell(player);
    } finally {
      wire.up();
      await player.leave();
    }
  });
}

/** The same chance each time, unless `make chaos` says another: then it can be had again with what is printed. */
function chance() {
  const seed = Number(process.env.CHAOS_SEED ?? 20);
  console.log(`CHAOS_SEED=${seed}`);
  // Between 1 and 2^31 - 2, which these numbers never leave.
  let state = (seed % 2_147_483_646) + 1;
  return (below) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
}

story("numbers over random cuts: no gap, nothing twice", async (player) => {
  const random = chance();
  const game = await player.open(wire.url);
  await game.start("busybox", "/ $ ");
  const numbers = Array.from({ length: 1_800 }, (_, index) => String(index + 1));
  // Emptied with its scrollback, so that a transcript is one round. `read` has no line editor, which would drop keys
  // that come while it asks where the cursor is.
  await game.type("echo ready; while read round; do printf '\\033[H\\033[2J\\033[3J'; seq 1 1800; echo done $round; done");
  await game.seesLine("ready");
  let cuts = 0;
  for (let round = 0; round < 8; round += 1) {
    const before = wire.cuts;
    wire.cutAgainAfter(() => 1 + random(4_000));
    await until("a moment to type", async () => (await game.nudge(), await game.paste(`${round}\n`)));
    await until("the last number", async () => {
      if (wire.cuts - before > 12) wire.up();
      await game.nudge();
      return (await game.lines()).includes(`done ${round}`);
    });
    wire.up();
    await game.goesOn();
    assert.deepEqual((await game.lines()).filter((line) => /^\d+$/.test(line)), numbers, `round ${round}`);
    cuts += wire.cuts - before;
  }
  assert.ok(cuts >= 20, `only ${cuts} cuts`);
});

story("keys across thirty random cuts arrive once, in order", async (player) => {
  const random = chance();
  const game = await player.open(wire.url);
  await game.start("busybox", "/ $ ");
  // Only once the shell has said so, it is cat that reads.
  await game.type("echo ready; cat");
  await game.seesLine("ready");
  let typed = "";
  for (let round = 0; round < 30; round += 1) {
    await game.goesOn();
    const words = Array.from({ length: 5 }, (_, index) => `k${round}-${index};`);
    const { cuts } = wire;
    wire.cutKeysAfter(random(60));
    // A ping may have met the cut before.
    if (await game.paste(...words)) typed += words.join("");
    await until("a cut", () => wire.cuts > cuts);
  }
  await game.goesOn();
  assert.ok(typed.length > 500, `only ${typed.length} keys were typed`);
  await game.page.keyboard.press("Enter");
  // The terminal's echo and cat's own answer.
  await until("both lines", async () => (await game.lines()).filter((line) => line === typed).length === 2).catch(
    async (error) => {
      throw new Error(`${error.message}; typed:\n${typed}\nthere is:\n${await game.text()}`);
    },
  );
  assert.equal(await game.page.getByText("may not have arrived").count(), 0);
});

story("a reload deep in a long output has the right last screen", async (player) => {
  const game = await player.open(wire.url);
  await game.start("busybox", "/ $ ");
  // Modes and colours from before what the server keeps: a title, and red letters.
  await game.type("printf '\\033]0;deep down\\007\\033[31m'; seq 1 100000");
  await until("the last number and a prompt", async () => /100000\n.*\$ ?\n*$/.test(await game.text()));
  const before = await game.lines();
  await game.page.reload();
  await until("the last number again", async () => /100000\n.*\$ ?\n*$/.test(await game.text()));
  await until("the window's size", async () => (await game.size()).cols > 100);
  const after = await game.lines();
  assert.deepEqual(after.slice(-500), before.slice(-500));
  assert.equal(await game.page.locator("#title").innerText(), "deep down");
  await game.type("echo still here");
  await game.seesLine("still here");
  await game.type("stty size");
  const { cols, rows } = await game.size();
  await game.seesLine(`${rows} ${cols}`);
  await game.shoot("deep-reload");
});

story("another page that types in between: what was under way is reported, not repeated", async (player) => {
  const game = await player.open(wire.url);
  await game.start("busybox", "/ $ ");
  await game.type("echo ready; cat");
  await game.seesLine("ready");
  const { cuts } = wire;
  wire.cutKeysAfter(3);
  await game.paste("never;");
  await until("a cut", () => wire.cuts > cuts);
  wire.down();
  await game.state("waiting");
  const other = await player.open(game.page.url().replace(wire.url, server.url));
  await other.state("playing");
  await other.page.keyboard.type("other;");
  await other.sees("other;");
  wire.up();
  await until("the first page's turn", async () => (await game.nudge(), await game.isPlaying()));
  await game.page.getByText("may not have arrived").waitFor();
  await game.page.keyboard.type("mine;\n");
  await game.seesLine("other;mine;");
});
