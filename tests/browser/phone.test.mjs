// What a phone's player has: the bar of keys, and a finger that scrolls.

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

const SMALL = { ...PHONE, viewport: { width: 320, height: 640 } };

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

const isTyping = (game) => game.page.evaluate(() => document.activeElement?.closest("#terminal") !== null);

for (const [colorScheme, options] of [["dark", SMALL], ["light", SMALL], ["dark", PHONE], ["light", PHONE]]) {
  const { width } = options.viewport;
  story(`every key of the bar can be reached and hit, ${width} px wide, ${colorScheme}`, async (game) => {
    const keys = game.page.locator("#keys button");
    const names = [];
    for (const key of await keys.all()) {
      await key.scrollIntoViewIfNeeded();
      const box = await key.boundingBox();
      const name = (await key.getAttribute("aria-label")) ?? (await key.innerText());
      names.push(name);
      assert.ok(box.width >= 24 && box.height >= 44, `${name}: ${box.width}×${box.height}`);
      assert.ok(box.x >= 0 && box.x + box.width <= width, `${name} ends at ${box.x + box.width}`);
      const isOnTop = await key.evaluate((button) => {
        const { left, top, width, height } = button.getBoundingClientRect();
        return button.contains(document.elementFromPoint(left + width / 2, top + height / 2));
      });
      assert.ok(isOnTop, `${name} is covered`);
      const cut = await key.evaluate((button) => button.scrollWidth - button.clientWidth);
      assert.ok(cut <= 0, `${name} is ${cut} px too long`);
    }
    const all = ["Esc", "Tab", "Ctrl", "Left", "Up", "Down", "Right", "Ctrl-C", "Slash", "Tilde", "Dollar", "Semicolon", "Minus", "Pipe", "Paste"];
    assert.deepEqual(names, all);
    await game.shoot(`key-bar-${width}-${colorScheme}`);
  }, { ...options, colorScheme });
}

story("the bar's keys send what they say, and the phone's keyboard stays", async (game) => {
  const recorder = await Recorder.start(game);
  const tap = (name) => async () => {
    await game.page.locator("#keys").getByRole("button", { name, exact: true }).tap();
    assert.ok(await isTyping(game), `the focus after ${name}`);
  };
  for (const [name, text] of [["Slash", "/"], ["Tilde", "~"], ["Dollar", "$"], ["Semicolon", ";"], ["Minus", "-"], ["Pipe", "|"], ["Ctrl-C", "\x03"], ["Esc", "\x1b"], ["Up", "\x1b[A"]]) {
    await recorder.check(name, tap(name), text);
  }
  await recorder.check("Ctrl is held for one key", async () => {
    await tap("Ctrl")();
    await game.page.keyboard.type("cc");
  }, "\x03c");
  await recorder.check("Ctrl with a key of the bar's own", async () => {
    await tap("Ctrl")();
    await tap("Minus")();
    await tap("Minus")();
  }, "--");
  assert.equal(await game.page.locator("#ctrl").getAttribute("aria-pressed"), "false");
});

story("Paste pastes, as one paste, and without control characters", async (game) => {
  const recorder = await Recorder.start(game, "\\033[?2004h");
  await game.page.evaluate(() => navigator.clipboard.writeText("echo one\ntwo\u001b[201~\u0003"));
  await recorder.check("Paste", async () => {
    await game.page.locator("#paste").tap();
    await game.page.evaluate(() => navigator.clipboard.readText());
    assert.ok(await isTyping(game));
  }, "\x1b[200~echo one\rtwo[201~\x1b[201~");
}, { ...PHONE, permissions: ["clipboard-read", "clipboard-write"] });

// Nobody is there who could allow it.
story("Paste says so when the browser refuses", async (game) => {
  await game.page.locator("#paste").tap();
  await game.page.locator('[role="status"]').getByText("keeps its clipboard from this page").waitFor();
  assert.ok(await isTyping(game));
});

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
