// The page by keyboard alone, on narrow screens, in few colours, read aloud, and by axe's rules.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { DESKTOP, packages, PHONE, Player, startBrowser, startServer, until, Wire } from "./stage.mjs";

const AXE = readFileSync(createRequire(packages).resolve("axe-core/axe.min.js"), "utf8");

let server;
let browser;
let wire;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
  wire = await Wire.to(server.url);
});

after(async () => {
  await browser?.close();
  await wire?.close();
  await server?.stop();
});

function story(name, tell, options = DESKTOP) {
  test(name, async () => {
    const player = await Player.enter(browser, options);
    try {
      await tell(player);
    } finally {
      wire.up();
      await player.leave();
    }
  });
}

async function playing(player, url = server.url) {
  const game = await player.open(url);
  await game.start("rust");
  await game.state("playing");
  return game;
}

/** What has the focus: an element's id, or "terminal". */
const focused = (game) =>
  game.page.evaluate(() => {
    const { activeElement } = document;
    return activeElement?.closest("#terminal") ? "terminal" : activeElement?.id || activeElement?.tagName;
  });

/** What axe finds fault with, a line each. */
async function faults(page) {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.join(" ")}: ${failureSummary}`));
}

/** Nothing is wider than the window, which would make the page scroll to the side. */
async function fits(page, what) {
  const { wide, room, out } = await page.evaluate(() => {
    const room = document.documentElement.clientWidth;
    const isOut = (element) => {
      const { left, right, width, height } = element.getBoundingClientRect();
      return width > 0 && height > 0 && (right > room + 0.5 || left < -0.5);
    };
    const seen = [...document.querySelectorAll("button, a, input, .mark")].filter((element) => !element.closest(".off-screen, .xterm") && isOut(element));
    return { wide: document.documentElement.scrollWidth, room, out: seen.map((element) => element.id || element.className) };
  });
  assert.ok(wide <= room, `${what}: ${wide} px in ${room}`);
  assert.deepEqual(out, [], what);
}

story("one key leads from the terminal to the buttons and back", async (player) => {
  const game = await playing(player);
  // Tab is the game's.
  await game.page.keyboard.press("Tab");
  assert.equal(await focused(game), "terminal");
  // Whoever has just used the mouse, and got the focus back, sees it move all the same.
  await game.page.locator("#larger").click();
  await game.page.keyboard.press("Control+Shift+X");
  assert.notEqual(await focused(game), "terminal");
  assert.equal(await game.page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle), "solid");
  const reached = new Set();
  for (let presses = 0; presses < 20; presses += 1) {
    reached.add(await focused(game));
    await game.page.keyboard.press("Tab");
    if ((await focused(game)) === "terminal") break;
  }
  for (const id of ["smaller", "larger", "reader", "plain-toggle", "share-toggle", "help-toggle", "new-game"]) {
    assert.ok(reached.has(id), `${id}: ${[...reached].join(" ")}`);
  }
  assert.equal(await focused(game), "terminal", "Tab comes to it again");
  await game.page.keyboard.press("Control+Shift+X");
  await game.page.keyboard.press("Control+Shift+X");
  assert.equal(await focused(game), "terminal");
  await game.type("learn here echo at the keys");
  await game.seesLine("learned here");
});

story("the text keeps the keys while it is open, over a cut, too", async (player) => {
  player.mayBeCut = true;
  const game = await playing(player, wire.url);
  await game.page.keyboard.press("Control+Shift+X");
  await game.page.locator("#plain-toggle").focus();
  await game.page.keyboard.press("Enter");
  await game.page.locator("#plain").waitFor();
  assert.equal(await focused(game), "plain-text");
  await game.page.keyboard.type("echo lost");
  wire.down();
  await game.state("waiting");
  wire.up();
  await game.goesOn();
  await game.page.keyboard.type("echo lost");
  assert.notEqual(await focused(game), "terminal");
  await game.page.keyboard.press("Escape");
  await game.page.locator("#plain").waitFor({ state: "hidden" });
  assert.equal(await focused(game), "terminal");
  await game.type("learn now echo again");
  await game.seesLine("learned now");
  assert.ok(!(await game.text()).includes("lost"), await game.text());
});

story("ending a game is asked for aloud, and loses no focus", async (player) => {
  const game = await playing(player);
  await game.page.goto(server.url);
  const end = game.page.locator("#running-list button").first();
  const place = await end.boundingBox();
  await end.focus();
  await game.page.keyboard.press("Enter");
  await until("the question", async () => (await end.textContent()) === "Really end?");
  assert.equal(await end.evaluate((button) => button === document.activeElement), true);
  assert.deepEqual(await end.boundingBox(), place, "a second press goes to the same place");
  assert.match(await end.getAttribute("aria-label"), /^Really end /);
  assert.match(await game.page.locator("#aloud").textContent(), /^Really end .* Press once more\.$/);
  await game.page.keyboard.press("Enter");
  await until("the end", async () => (await game.page.locator("#running-list li").count()) === 0);
  assert.equal(await focused(game), "start-button");
});

story("the game's script comes while the player reads", async (player) => {
  const game = await player.open("about:blank");
  const fetched = [];
  game.page.on("requestfinished", (request) => fetched.push(new URL(request.url()).pathname));
  await game.page.goto(server.url);
  const scripts = ["/assets/early.js", "/assets/terminal.js"];
  await until("the scripts", () => Promise.resolve(scripts.every((path) => fetched.includes(path))));
  await game.start("rust");
  assert.equal(fetched.filter((path) => path === "/assets/terminal.js").length <= 2, true);
  const transferred = await game.page.evaluate(() => performance.getEntriesByName(document.querySelector("script[src*='/terminal.js']").src)[0].transferSize);
  assert.equal(transferred, 0, "it is there already");
});

story("the way to the server is opened before the terminal's script has come, and nothing is lost or sent twice", async (player) => {
  const game = await player.open(server.url);
  const sockets = [];
  let heard = 0;
  game.page.on("websocket", (socket) => {
    sockets.push(socket.url());
    socket.on("framereceived", ({ payload }) => (heard += typeof payload === "string" ? 0 : payload.length));
  });
  let held = 0;
  await game.page.route("**/assets/terminal.js*", async (route) => {
    // The start page fetches it, too.
    if (route.request().resourceType() !== "script") return route.continue();
    held += 1;
    await until("the first output", () => Promise.resolve(heard > 0));
    await route.continue();
  });
  await game.start("rust");
  assert.equal(held, 1);
  await game.state("playing");
  await game.type("echo once");
  await game.seesLine("once");
  assert.equal((await game.text()).split("once").length, 3);
  assert.equal(sockets.length, 1, sockets.join(" "));
});

story("two presses make one game", async (player) => {
  const game = await player.open(server.url);
  const made = [];
  game.page.on("request", (request) => {
    if (request.method() === "POST" && new URL(request.url()).pathname === "/session") made.push(request.url());
  });
  await game.page.locator("#start-button").dblclick();
  await game.page.waitForURL("**/session/*/connect");
  await game.sees(" ~ $ ");
  assert.equal(made.length, 1);
});

story("a countdown is not read aloud second by second", async (player) => {
  player.mayBeCut = true;
  const game = await playing(player, wire.url);
  await game.page.evaluate(() => {
    const spoken = (globalThis.spoken = []);
    const shown = (globalThis.shown = new Set());
    for (const region of document.querySelectorAll("[role=status], [role=alert], [aria-live]")) {
      new MutationObserver(() => spoken.push(region.textContent)).observe(region, { childList: true, subtree: true, characterData: true });
    }
    const state = document.querySelector("#state");
    new MutationObserver(() => shown.add(state.textContent)).observe(state, { childList: true, subtree: true, characterData: true });
  });
  wire.down();
  const seconds = () => game.page.evaluate(() => [...globalThis.shown].filter((text) => /in \d+ s/.test(text)).length);
  await until("the seconds to be counted", async () => (await seconds()) >= 3);
  const spoken = await game.page.evaluate(() => globalThis.spoken);
  assert.ok(spoken.length > 0 && spoken.every((text) => !/\d+ s\b/.test(text)), JSON.stringify(spoken));
  assert.ok(spoken.length <= 6, JSON.stringify(spoken));
});

for (const width of [320, 360, 390]) {
  story(`all is within a window of ${width} px`, async (player) => {
    const game = await player.open(server.url);
    await fits(game.page, "the start page");
    await game.start("rust");
    await game.state("playing");
    await fits(game.page, "the game");
    const words = await game.page.locator("#state").evaluate((state) => [state.scrollWidth, state.clientWidth]);
    assert.equal(words[0], words[1], "the state is not cut");
    await game.shoot(`access-${width}`);
    for (const [toggle, panel] of [["plain-toggle", "plain"], ["share-toggle", "share"], ["help-toggle", "help"]]) {
      await game.page.locator(`#${toggle}`).click();
      await game.page.locator(`#${panel}`).waitFor();
      await fits(game.page, panel);
      await game.shoot(`access-${width}-${panel}`);
      if (panel === "plain") await game.page.locator("#plain-close").click();
      else await game.page.keyboard.press("Escape");
      await game.page.locator(`#${panel}`).waitFor({ state: "hidden" });
    }
  }, { ...PHONE, viewport: { width, height: 700 } });
}

story("at four times the size the end of a game is within the window", async (player) => {
  const game = await playing(player);
  await game.type("exit");
  await game.state("ended");
  const headline = await game.page.locator("#card h2").boundingBox();
  const bar = await game.page.locator("#bar").boundingBox();
  assert.ok(headline.y >= bar.y + bar.height, JSON.stringify({ headline, bar }));
  await fits(game.page, "the card");
}, { viewport: { width: 320, height: 256 } });

story("few colours tell the chosen shell and the recording", async (player) => {
  const game = await player.open(server.url);
  const outlines = () =>
    game.page.evaluate(() => [...document.querySelectorAll(".shell")].map((shell) => [shell.querySelector("input").checked, getComputedStyle(shell).outlineStyle]));
  const chosen = (await outlines()).filter(([, style]) => style === "solid");
  assert.deepEqual(chosen, [[true, "solid"]]);
  await game.start("rust");
  await game.page.locator("#share-toggle").click();
  await game.page.locator("#record-start").click();
  const mark = game.page.locator("#record-mark");
  await mark.waitFor();
  const [own, behind] = await mark.evaluate((element) => [getComputedStyle(element).backgroundColor, getComputedStyle(element.closest(".bar")).backgroundColor]);
  assert.notEqual(own, behind);
  await game.shoot("access-forced-colors");
}, { ...DESKTOP, forcedColors: "active" });

story("Option writes characters unless a player wants it otherwise, and the page remembers that", async (player) => {
  await player.context.addInitScript(() => Object.defineProperty(navigator, "platform", { value: "MacIntel" }));
  const game = await playing(player);
  let sent = "";
  game.page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => (sent += payload.toString("latin1"))));
  await game.page.reload();
  await game.sees(" ~ $ ");
  // A German Mac has its @ there.
  const optionL = () =>
    game.page.evaluate(() =>
      document
        .querySelector(".xterm-helper-textarea")
        .dispatchEvent(new KeyboardEvent("keydown", { key: "@", code: "KeyL", keyCode: 76, altKey: true, bubbles: true, cancelable: true })),
    );
  assert.equal(await optionL(), true, "the browser may write what the layout has");
  await game.type("learn first echo no meta");
  await game.seesLine("learned first");
  assert.ok(!sent.includes("\x1bl"), JSON.stringify(sent));
  await game.page.locator("#help-toggle").click();
  const box = game.page.locator("#option-is-meta");
  assert.equal(await box.isChecked(), false);
  await box.check();
  await game.page.reload();
  await game.sees(" ~ $ ");
  assert.equal(await box.isChecked(), true);
  await optionL();
  await until("Meta", () => Promise.resolve(sent.includes("\x1bl")));
});

story("copying goes by the character, wherever a layout has it", async (player) => {
  const game = await playing(player);
  await game.type("learn words echo to-be-copied");
  await game.seesLine("learned words");
  const key = (key, code) =>
    game.page.evaluate(
      ([key, code]) =>
        document
          .querySelector(".xterm-helper-textarea")
          .dispatchEvent(new KeyboardEvent("keydown", { key, code, ctrlKey: true, shiftKey: true, bubbles: true, cancelable: true })),
      [key, code],
    );
  await game.page.evaluate(() => navigator.clipboard.writeText("before"));
  const screen = await game.page.locator(".xterm-screen").boundingBox();
  const row = (await game.lines()).indexOf("learned words");
  const { rows } = await game.size();
  await game.page.mouse.dblclick(screen.x + 20, screen.y + ((row + 0.5) * screen.height) / rows);
  // Dvorak has J on the C key, and C on the I key.
  await key("J", "KeyC");
  assert.equal(await game.page.evaluate(() => navigator.clipboard.readText()), "before");
  await key("C", "KeyI");
  await until("the copy", async () => (await game.page.evaluate(() => navigator.clipboard.readText())) === "learned");
}, { ...DESKTOP, permissions: ["clipboard-read", "clipboard-write"] });

const WINDOWS = { desktop: DESKTOP, phone: { ...PHONE, viewport: { width: 320, height: 700 } } };
const LOOKS = {
  dark: { colorScheme: "dark" },
  light: { colorScheme: "light" },
  "forced-colors": { forcedColors: "active" },
  "reduced-motion": { reducedMotion: "reduce" },
};

for (const [size, window] of Object.entries(WINDOWS)) {
  for (const [look, options] of Object.entries(LOOKS)) {
    story(`axe finds nothing on a ${size}, ${look}`, async (player) => {
      const found = [];
      const check = async (game, what) => found.push(...(await faults(game.page)).map((fault) => `${what}: ${fault}`));
      let game = await player.open(server.url);
      await check(game, "start");
      await game.start("rust");
      // Chromium emulates few colours, and fingers, on a tab's first page alone.
      const tab = game.page;
      game = await player.open(tab.url());
      await game.sees(" ~ $ ");
      await game.state("playing");
      await tab.close();
      await check(game, "playing");
      for (const [toggle, panel, close] of [["plain-toggle", "plain", "plain-close"], ["share-toggle", "share", ""], ["help-toggle", "help", "help-close"]]) {
        await game.page.locator(`#${toggle}`).click();
        await game.page.locator(`#${panel}`).waitFor();
        if (panel === "share") {
          await game.page.locator("#watch-start").click();
          await game.page.locator("#watch-address").waitFor();
          await game.page.locator("#record-start").click();
          await game.page.locator("#record-play").click();
          await game.page.locator("#replay").waitFor();
          await check(game, "replay");
          await game.page.locator("#replay-close").click();
        }
        await check(game, panel);
        if (close !== "") await game.page.locator(`#${close}`).click();
      }
      await game.page.keyboard.press("Control+Shift+KeyF");
      await game.page.locator("#find").waitFor();
      await check(game, "find");
      await game.page.keyboard.press("Escape");
      const link = await game.page.locator("#watch-link").inputValue();
      const spectator = await player.open(link);
      await spectator.state("playing");
      await check(spectator, "watching");
      await spectator.page.close();
      const games = await player.open(server.url);
      await games.page.locator("#running-list button").first().click();
      await check(games, "really end");
      await games.page.locator("#book summary").click();
      await games.page.getByRole("button", { name: "Show my recovery code" }).click();
      await games.page.locator("#code").waitFor();
      await check(games, "spellbook and code");
      await games.page.close();
      await game.page.bringToFront();
      await game.type("exit");
      await game.state("ended");
      await check(game, "ended");
      assert.deepEqual(found, []);
    }, { ...window, ...options });
  }
}
