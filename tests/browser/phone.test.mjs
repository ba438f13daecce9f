// What a phone's player has: a finger that scrolls.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Recorder } from "./recorder.mjs";
import { PHONE, Player, startBrowser, startServer, until } from "./stage.mjs";

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

function story(name, tell, options = PHONE) {
  test(name, async () => {
    const player = await Player.enter(browser, options);
    try {
      const game = await player.open(server.url);
      await game.start("busybox", "/ $ ");
      await game.state("playing");
      await game.page.locator("#terminal").tap();
      await tell(game, player);
    } finally {
      await player.leave();
    }
  });
}

/** A finger drags from the middle of the terminal by so many lines; up if they are positive. */
async function drag(game, lines) {
  const devtools = await game.page.context().newCDPSession(game.page);
  const box = await game.page.locator("#terminal").boundingBox();
  const height = box.height / (await game.size()).rows;
  const x = box.x + box.width / 2;
  const y = box.y + box.height / 2;
  const touch = (type, ...touchPoints) => devtools.send("Input.dispatchTouchEvent", { type, touchPoints });
  await touch("touchStart", { x, y });
  const steps = 12;
  // A bit further than the line's edge.
  for (let step = 1; step <= steps; step += 1) {
    await touch("touchMove", { x, y: y - (lines + Math.sign(lines) * 0.3) * height * (step / steps) });
  }
  await touch("touchEnd");
}

const ALTERNATE = "\\033[?1049h";
for (const [name, modes, up, down] of [
  ["arrow keys", ALTERNATE, "\x1b[A", "\x1b[B"],
  ["arrow keys as it asked for them", `${ALTERNATE}\\033[?1h`, "\x1bOA", "\x1bOB"],
]) {
  story(`a finger sends a full-screen program ${name}`, async (game) => {
    const recorder = await Recorder.start(game, modes);
    await recorder.check("up", () => drag(game, 3), down.repeat(3));
    await recorder.check("down", () => drag(game, -4), up.repeat(4));
  });
}

for (const [name, modes] of [["full-screen program", ALTERNATE], ["program", ""]]) {
  story(`a finger is the mouse's wheel to a ${name} that asked for the mouse`, async (game) => {
    const recorder = await Recorder.start(game, `${modes}\\033[?1000h\\033[?1006h`);
    const up = await recorder.reads(() => drag(game, 3));
    assert.match(up, /^(\x1b\[<65;\d+;\d+M){3}$/);
    assert.match(await recorder.reads(() => drag(game, -2)), /^(\x1b\[<64;\d+;\d+M){2}$/);
  });
}

story("a finger scrolls back at the prompt, and sends nothing", async (game) => {
  await game.type("seq 300");
  await game.seesLine("300");
  const recorder = await Recorder.start(game);
  const top = () => game.page.evaluate(() => document.querySelector(".xterm-rows > div")?.textContent.trim());
  const before = Number(await top());
  assert.ok(before > 200, `${before}`);
  await recorder.check("nothing", async () => {
    await drag(game, -5);
    await until("older lines", async () => Number(await top()) === before - 5);
    await drag(game, 5);
    await until("the newest lines", async () => Number(await top()) === before);
  }, "");
});
