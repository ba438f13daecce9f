// A player's whole way: landing page, prompt, spells, the end of the game; desktop and phone.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DESKTOP, intercept, PHONE, Player, startBrowser, startServer, until } from "./stage.mjs";

let server;
let browser;

before(async () => {
  server = await startServer();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Runs a story with a player, and demands a silent console at its end. */
function story(name, options, tell) {
  test(name, async () => {
    const player = await Player.enter(browser, options);
    try {
      await tell(player);
    } finally {
      await player.leave();
    }
  });
}

for (const shell of ["rust", "perl"]) {
  for (const renderer of ["dom", "webgl"]) {
    story(`${shell} is played from the landing page to its end, drawn by ${renderer}`, DESKTOP, async (player) => {
      const game = await player.open(server.url);
      await game.shoot(`landing-${shell}`);
      await game.start(shell);
      await game.page.goto(`${game.page.url()}?renderer=${renderer}`);
      await game.sees(" ~ $ ");
      await game.state("playing");
      assert.equal(await game.page.locator("#terminal").getAttribute("data-renderer"), renderer);

      await game.type("learn hi echo hello $1");
      await game.sees("learned hi");
      await game.type("cast hi world");
      await game.seesLine("hello world");
      await game.type("ls");
      await game.seesLine("spellbook.dat");
      await until("the round trip", async () => /ms$/.test(await game.page.locator("#latency").innerText()));
      await game.shoot(`game-${shell}-${renderer}`);

      await game.type("exit 3");
      await game.state("ended");
      const card = game.page.getByRole("dialog");
      assert.match(await card.innerText(), /has ended[^]*Exit code 3/);
      await game.shoot(`ended-${shell}-${renderer}`);
      await card.getByRole("button", { name: "New game" }).click();
      await game.page.waitForURL((url) => url.pathname.endsWith("/connect") && url.search === "");
      await game.state("playing");
      await game.sees(" ~ $ ");
      await game.type("exit");
      await game.state("ended");
      await game.page.getByRole("link", { name: "Back to the start", exact: true }).click();
      await game.page.locator("#start-button").waitFor();
      assert.equal(await game.page.locator("#running").isVisible(), false, "ended games are not listed");
    });
  }
}

story("the light theme", { ...DESKTOP, colorScheme: "light" }, async (player) => {
  const game = await player.open(server.url);
  await game.shoot("landing-light");
  await game.start("rust");
  await game.type("help");
  await game.sees("write a spell");
  await game.shoot("game-light");
});

story("a phone", PHONE, async (player) => {
  const game = await player.open(server.url);
  await game.shoot("phone-landing");
  const overflow = await game.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
  assert.ok(overflow <= 0, `the landing page is ${overflow} px too wide`);
  await game.start("rust");
  await game.page.locator("#terminal").tap();
  await game.page.locator("#keys").waitFor();
  await game.type("echo one");
  await game.seesLine("one");
  // ↑ brings the line back; Ctrl and c drop it.
  await game.page.locator('#keys [data-key="ArrowUp"]').tap();
  await game.page.keyboard.type(" two\n");
  await game.seesLine("one two");
  await game.page.keyboard.type("never run");
  await game.page.locator("#ctrl").tap();
  await game.page.keyboard.type("c");
  await game.type("echo three");
  await game.seesLine("three");
  assert.equal(await game.page.locator("#ctrl").getAttribute("aria-pressed"), "false");
  const { cols } = await game.size();
  assert.ok(cols >= 36 && cols <= 60, `${cols} columns`);
  await game.shoot("phone-game");
});

story("the terminal follows the window and the size of the letters", DESKTOP, async (player) => {
  const game = await player.open(server.url);
  await game.start("rust");
  const wide = await game.size();
  await game.page.setViewportSize({ width: 700, height: 420 });
  await until("a smaller terminal", async () => (await game.size()).cols < wide.cols * 0.6);
  const small = await game.size();
  assert.ok(small.rows < wide.rows * 0.6);
  await game.page.getByRole("button", { name: "Larger letters" }).click();
  await until("fewer columns", async () => (await game.size()).cols < small.cols);
  await game.type("echo still here");
  await game.seesLine("still here");
  await game.shoot("game-small");
  await game.page.reload();
  await game.sees("still here");
  assert.ok((await game.size()).cols < small.cols, "the size of the letters is remembered");
});

story("the landing page lists the running game, goes on with it and ends it", DESKTOP, async (player) => {
  const game = await player.open(server.url);
  await game.start("perl");
  await game.type("echo mark my words");
  await game.seesLine("mark my words");
  await game.page.getByRole("link", { name: "ShellCraft, back to the start" }).click();
  const open = game.page.locator("#running");
  await open.getByText("Perl shell").waitFor();
  await game.shoot("landing-running");
  await open.getByRole("link", { name: /Continue/ }).click();
  await game.sees("mark my words");

  await game.page.goto(server.url);
  const end = open.getByRole("button", { name: /^(End|Really end) / });
  await end.click();
  await end.click();
  await open.waitFor({ state: "hidden" });
  await game.page.reload();
  await game.page.locator("#start-button").waitFor();
  assert.equal(await open.isVisible(), false);
});

story("versions of the spellbook are listed, downloaded and restored", DESKTOP, async (player) => {
  const game = await player.open(server.url);
  assert.equal(await game.page.locator("#book li").count(), 0, "a new player has none");
  await game.start("rust");
  await game.type("learn one echo first");
  await game.sees("learned one");
  await game.page.goto(server.url);
  await game.start("perl");
  // What the first game has learnt is there, though nothing had saved it yet.
  await game.type("cast one");
  await game.seesLine("first");
  await game.type("learn two echo second");
  await game.sees("learned two");
  await game.page.goto(server.url);
  const open = game.page.locator("#running");
  for (const left of [1, 0]) {
    const end = open.getByRole("button", { name: /^(End|Really end) / }).first();
    await end.click();
    await end.click();
    await until("the game to go from the list", async () => (await open.locator("li").count()) === left);
  }
  const book = game.page.locator("#book");
  await book.locator("summary").click();
  const rows = book.locator("li");
  await until("both versions", async () => (await rows.count()) === 2);
  await game.shoot("landing-book");
  const texts = [];
  for (const row of await rows.all()) {
    const [download] = await Promise.all([
      game.page.waitForEvent("download"),
      row.getByRole("link", { name: /^Download/ }).click(),
    ]);
    const chunks = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk);
    texts.push(Buffer.concat(chunks).toString());
  }
  assert.match(texts[0], /learn one echo first\n[^]*learn two echo second\n/);
  assert.match(texts[1], /learn one echo first\n/);
  assert.doesNotMatch(texts[1], /learn two/);
  await rows.nth(1).getByRole("button", { name: /^Restore/ }).click();
  await game.page.getByText("Your next game begins with that spellbook.").waitFor();
  await game.start("rust");
  await game.type("spells");
  await game.seesLine("one: echo first");
  await game.type("cast two");
  await game.sees("no spell called two");
});

story("a full server is waited for, and said so", DESKTOP, async (player) => {
  player.mayBeCut = true; // Chromium reports every 503 on its console.
  const game = await player.open(server.url);
  let refusals = 1;
  await intercept(game.page, "**/session", (route) => {
    if (refusals === 0) return route.continue();
    refusals -= 1;
    const body = JSON.stringify({ error: { code: "full", message: "all places are taken" } });
    return route.fulfill({ status: 503, headers: { "Retry-After": "1" }, contentType: "application/json", body });
  });
  await game.page.locator("#start-button").click();
  await game.page.getByText("All places are taken. Retry in 1 s.").waitFor();
  await game.page.waitForURL("**/session/*/connect");
  await game.sees(" ~ $ ");
});

story("a game that never was", DESKTOP, async (player) => {
  player.mayBeCut = true; // Chromium reports every 404 on its console.
  const game = await player.open(`${server.url}session/00000000-0000-4000-8000-000000000000/connect`);
  await game.shoot("error");
  await game.page.getByRole("link", { name: "Back to the start", exact: true }).click();
  await game.page.locator("#start-button").waitFor();
});

story("a paste brings text, and no control characters", DESKTOP, async (player) => {
  const game = await player.open(server.url);
  await game.start("rust");
  await game.paste("echo pa\u001b[201~\u0003sted");
  await game.type("");
  await game.seesLine("pa[201~sted");
});

test("who has as many games as may be is offered those", async () => {
  const narrow = await startServer({ SESSIONS_PER_PLAYER: "1" });
  const player = await Player.enter(browser);
  // The refused start.
  player.expect(/status of 429/);
  try {
    const game = await player.open(narrow.url);
    await game.start("rust");
    await game.type("echo still here");
    await game.seesLine("still here");
    const url = game.page.url();

    // The browser has forgotten the game; the server knows whose it is.
    await game.page.evaluate(() => localStorage.clear());
    await game.page.goto(narrow.url);
    assert.equal(await game.page.locator("#running").isVisible(), false);
    await game.page.locator("#start-button").click();
    await game.page.getByText("You have as many games as a player may have").waitFor();
    const offered = game.page.getByRole("link", { name: /^Continue/ });
    await offered.waitFor();
    await until("the focus on it", () => offered.evaluate((link) => link === document.activeElement));
    await game.shoot("landing-offer");
    await game.page.keyboard.press("Enter");
    await game.page.waitForURL(url);
    await game.seesLine("still here");
  } finally {
    await player.leave();
    await narrow.stop();
  }
});
