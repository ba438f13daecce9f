// The operator's page: logs in, sees a game, watches it, tells its player something, ends it; by keyboard too.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";

import { DESKTOP, Game, PHONE, Player, startBrowser, startServer, until } from "./stage.mjs";

/** As `Game.shoot`, for a page that is no game. */
const shoot = (page, name) => new Game(page).shoot(name);
const TOKEN = "the-operator-of-browser-tests";

test("an operator sees, watches, tells and ends a game, without a mouse", async () => {
  const server = await startServer({ ADMIN_TOKEN: TOKEN });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  // The page of the game that was ended asks what became of it.
  player.expect(/status of 404/);
  const desk = await browser.newContext(DESKTOP);
  try {
    const game = await player.open(server.url);
    await game.page.locator("#start-button").click();
    await game.page.waitForURL("**/session/*/connect");
    await game.sees(" ~ $ ");

    const page = await desk.newPage();
    const blocked = [];
    page.on("console", (line) => /Content Security Policy/.test(line.text()) && blocked.push(line.text()));
    await page.goto(`${server.url}admin`);
    await page.locator("#token").waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.id), "token");
    await page.keyboard.type(TOKEN);
    await page.keyboard.press("Enter");
    const row = page.locator("#games tr");
    await row.locator("td", { hasText: /^running$/ }).waitFor();
    await row.locator("td[data-title=Memory]", { hasText: /iB$/ }).waitFor();
    // A game is called here what it is called in the log.
    const id = new URL(game.page.url()).pathname.split("/")[2];
    const logName = createHash("sha256").update(id).digest("hex").slice(0, 8);
    assert.equal(await row.locator("td[data-title=Game]").textContent(), logName);
    for (const shell of ["rust", "perl"]) {
      await page.locator(".tile", { hasText: `Shell ${shell}` }).getByText("can be started", { exact: true }).waitFor();
    }
    await shoot(page, "admin");
    await page.emulateMedia({ colorScheme: "dark" });
    await shoot(page, "admin-dark");
    await page.setViewportSize(PHONE.viewport);
    await shoot(page, "admin-phone");
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= PHONE.viewport.width, `${width} pixels wide on a phone`);
    await page.setViewportSize(DESKTOP.viewport);

    const [watcher] = await Promise.all([desk.waitForEvent("page"), row.getByRole("button", { name: /^Watch/ }).press("Enter")]);
    await watcher.waitForURL("**/watch/*");
    await game.page.getByText("An operator of this server is watching your game.").first().waitFor();

    await row.getByRole("button", { name: /^Notice/ }).press("Enter");
    await page.keyboard.type("<b>Tea</b> at five");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Tab");
    assert.equal(await page.evaluate(() => document.activeElement.id), "ask-yes");
    await page.keyboard.press("Enter");
    await game.page.getByText("<b>Tea</b> at five").first().waitFor();

    await row.getByRole("button", { name: /^End/ }).press("Enter");
    await page.keyboard.press("Escape");
    assert.equal(await row.count(), 1);
    // Asked again before the page has heard that the first question was closed, and carried out once.
    const ended = [];
    page.on("request", (request) => request.method() === "DELETE" && ended.push(request.url()));
    await page.evaluate(() => {
      const [button, dialog] = [document.querySelector("#games .danger"), document.querySelector("#ask")];
      button.click();
      dialog.close("no");
      button.click();
    });
    await page.locator("#ask-yes").press("Enter");
    await page.getByText("No games.").waitFor();
    assert.equal(ended.length, 1);

    await page.getByRole("button", { name: "Log out" }).press("Enter");
    await page.locator("#token").waitFor();
    assert.equal(await page.locator("#board").isVisible(), false);
    await page.locator("#token").fill(TOKEN);
    await page.keyboard.press("Enter");
    await page.getByText("No games.").waitFor();

    // Announced for later, a drain can be undone, and is gone without a trace.
    await page.getByRole("button", { name: "Drain…" }).press("Enter");
    await page.getByLabel("Minutes until it ends").fill("10");
    await page.keyboard.press("Enter");
    await page.locator(".tile", { hasText: "Drain" }).getByText(/^in (10 min 0|9 min \d+) s$/).waitFor();
    await shoot(page, "admin-drain-pending");
    await page.getByRole("button", { name: "Undo the drain" }).press("Enter");
    await page.getByText("The server goes on, and newcomers are let in again.").waitFor();
    await page.getByRole("button", { name: "Undo the drain" }).waitFor({ state: "hidden" });
    assert.equal(await page.evaluate(() => document.activeElement.id), "drain");

    // All games at once; the server stays.
    const [first, second] = [await player.open(server.url), await player.open(server.url)];
    await first.start("rust");
    await second.start("rust");
    await until("both games", async () => (await row.count()) === 2);
    await page.getByRole("button", { name: "End all…" }).press("Enter");
    await page.getByText("End all games?").waitFor();
    await page.keyboard.press("Escape");
    assert.equal(await row.count(), 2);
    await page.getByRole("button", { name: "End all…" }).press("Enter");
    await page.locator("#ask-yes").press("Enter");
    await page.getByText("2 games have ended.").waitFor();
    await page.getByText("No games.").waitFor();
    for (const game of [first, second]) await game.state("ended");

    // Drained under a player's hands: the player is told, and the server ends by itself.
    player.mayBeCut = true;
    const last = await player.open(server.url);
    await last.start("rust");
    await row.locator("td", { hasText: /^running$/ }).waitFor();
    await page.getByRole("button", { name: "Drain…" }).press("Enter");
    await page.getByText("Drain the server?").waitFor();
    await shoot(page, "admin-drain");
    await page.locator("#ask-yes").press("Enter");
    await page.getByText("The server is drained and has ended.").waitFor();
    await shoot(page, "admin-drained");
    await last.state("ended");
    await last.page.locator("#card").getByText("The server was shut down").waitFor();
    await last.shoot("drained");
    assert.equal(await server.end(), 0);
    assert.deepEqual(blocked, []);
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
  }
});
