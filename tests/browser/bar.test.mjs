// What the bar and the settings have: finding text in what was written so far, colours, and the time that is left.

import assert from "node:assert/strict";
import { test } from "node:test";

import { intercept, PHONE, Player, startBrowser, startServer, until } from "./stage.mjs";

test("text that has scrolled away is found, by keyboard alone", async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    const { page } = game;
    await game.start("rust");
    await game.type("echo the needle, far above");
    await game.type("chant -200 hay");
    await game.seesPrompt();
    const isShown = () => page.evaluate(() => document.activeElement?.id);
    await page.keyboard.press("Control+Shift+F");
    assert.equal(await isShown(), "find-text");
    await page.keyboard.type("Needle, far");
    // The search's own script comes now; without a network it is tried again the next time.
    player.expect(/net::ERR_FAILED/);
    await intercept(page, "**/search.js*", (route) => route.abort());
    await page.keyboard.press("Enter");
    await page.locator("#find-result").getByText("Not now: the server can't be reached").waitFor();
    await page.unroute("**/search.js*");
    await page.keyboard.press("Enter");
    // xterm.js scrolls to it and selects it, which is what copying takes.
    const selected = () => page.evaluate(() => globalThis.shellcraft.selection());
    await until("the match", async () => (await selected()) === "needle, far");
    await game.shoot("find");
    const result = page.locator("#find-result");
    await until("no complaint", async () => (await result.textContent()) === "");
    await page.keyboard.press("Control+A");
    await page.keyboard.type("no such thing");
    await page.keyboard.press("Enter");
    await result.getByText("Not found").waitFor();
    // The keys went to the search, and go to the game again.
    await page.keyboard.press("Escape");
    assert.equal(await page.locator("#find").isVisible(), false);
    await game.type("echo back again");
    await game.seesLine("back again");
    assert.doesNotMatch(await game.text(), /no such thing/);
    // By its button as well.
    await page.getByRole("button", { name: "Find", exact: true }).click();
    assert.equal(await isShown(), "find-text");
    await page.setViewportSize({ width: 320, height: 640 });
    const { x, width } = await page.locator("#find").boundingBox();
    assert.ok(x >= 0 && x + width <= 320, `from ${x}, ${width} px wide`);
    await game.shoot("find-narrow");
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
  }
});

test("colours are the system's until the player chooses", async () => {
  const server = await startServer();
  const browser = await startBrowser();
  const player = await Player.enter(browser, { ...PHONE, colorScheme: "dark" });
  try {
    const game = await player.open(server.url);
    const { page } = game;
    const colour = () => page.evaluate(() => getComputedStyle(document.body).color);
    const [night, day] = ["rgb(236, 228, 212)", "rgb(43, 34, 56)"];
    assert.equal(await colour(), night);
    await game.start("rust");
    await page.emulateMedia({ colorScheme: "light" });
    await until("day", async () => (await colour()) === day);
    await page.locator("#help-toggle").click();
    await page.locator("#theme").selectOption("dark");
    await until("night", async () => (await colour()) === night);
    assert.equal(await page.evaluate(() => globalThis.shellcraft.background()), "#14101f");
    await game.shoot("theme-dark");
    // Everywhere, from now on.
    await page.reload();
    await game.sees(" ~ $ ");
    assert.equal(await colour(), night);
    await page.goto(server.url);
    await until("night on the start page", async () => (await colour()) === night);
    await page.goBack();
    await game.sees(" ~ $ ");
    await page.locator("#help-toggle").click();
    await page.locator("#theme").selectOption("as the system has them");
    await until("day again", async () => (await colour()) === day);
    assert.equal(await page.evaluate(() => globalThis.shellcraft.background()), "#f7f0e0");
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
  }
});

test("the time that is left is told, and a press puts the end off", async () => {
  const server = await startServer({ IDLE_TIMEOUT: "80s" });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    const { page } = game;
    await game.start("rust");
    const left = page.locator("#time-left");
    const seconds = async () => Number.parseInt((await left.textContent()) ?? "", 10);
    const icon = () => page.evaluate(() => document.querySelector('link[rel="icon"]').href);
    const playing = await icon();
    await left.getByText(/^(80|7\d) s left$/).waitFor();
    assert.match((await left.getAttribute("aria-label")) ?? "", /^\d+ s left if nothing is typed. Press to stay.$/);
    // Asked for again when the page is looked at.
    const lookAgain = () => page.evaluate(() => document.dispatchEvent(new Event("visibilitychange")));
    await until("some seconds to pass", async () => (await lookAgain(), (await seconds()) <= 77));
    await left.click();
    await until("all of it again", async () => (await seconds()) >= 79);
    // Nothing was typed by it.
    await game.type("echo still the same line");
    await game.seesLine("still the same line");
    await game.shoot("time-left");
    await game.type("exit");
    await game.state("ended");
    assert.equal(await left.isVisible(), false);
    // The tab's icon tells that it is over.
    assert.match(await icon(), /^data:image\/svg/);
    assert.notEqual(await icon(), playing);
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
  }
});
