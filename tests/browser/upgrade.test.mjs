// The server is replaced by another version under an open page: the page plays on, its keys arrive once, and it offers to
// be loaded again.
//
// SHELLCRAFT_BEFORE names the binary of another version. Without it there is one, and its first page is made out to be of
// another version.

import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as pause } from "node:timers/promises";

import { ownAddress, Player, startBrowser, startServer, until } from "./stage.mjs";

const ALPHABET = "abcdefghijklmnopqrstuvwxyz";
const BEFORE = process.env.SHELLCRAFT_BEFORE;

let browser;
let home;

before(async () => {
  browser = await startBrowser();
  home = mkdtempSync(join(tmpdir(), "shellcraft-upgrade-"));
});

after(async () => {
  await browser?.close();
  rmSync(home, { recursive: true, force: true });
});

/** Lets the page be one of another version: the address of its script, which it goes by, names that. */
function age(page) {
  return page.evaluate(() => {
    const script = document.querySelector("script[src]");
    script.setAttribute("src", script.getAttribute("src").replace(/\?v=.*/, "?v=0.0.0-before"));
  });
}

const offer = (game) => game.page.getByText("The server was updated.");

test("a page outlives the server's upgrade and offers the new page", async () => {
  const env = { ...ownAddress(), DATA_DIR: join(home, "data"), INSTANCE: `browser-upgrade-${randomUUID()}` };
  let server = await startServer(env, BEFORE);
  const player = await Player.enter(browser);
  player.mayBeCut = true;
  try {
    const game = await player.open(server.url);
    await game.start("rust");
    if (BEFORE === undefined) await age(game.page);
    await game.type("learn mark echo I was $1");
    await game.seesLine("learned mark");
    await game.seesPrompt();
    const screen = await game.text();
    const script = await game.page.locator("script[src]").first().getAttribute("src");

    // Keys are typed all the time. What the page takes arrives once; what it can't send it refuses, and says so.
    await game.page.keyboard.type("echo ");
    const taken = [];
    let isTyping = true;
    const typing = (async () => {
      for (let number = 0; isTyping && taken.length < 100; number++) {
        const key = ALPHABET[number % ALPHABET.length];
        if (await game.paste(key)) taken.push(key);
        await pause(20);
      }
    })();
    await until("keys before the cut", () => taken.length > 4);
    await server.stop("SIGTERM");
    server = await startServer(env);
    await game.goesOn();
    const before = taken.length;
    await until("keys after it", () => taken.length > before + 4 || taken.length === 100);
    isTyping = false;
    await typing;
    await game.page.keyboard.type("\n");
    await game.seesLine(taken.join(""));
    await game.seesPrompt();
    assert.ok((await game.text()).startsWith(screen.trimEnd()), "the screen stays");

    await offer(game).waitFor();
    await game.shoot("upgraded");
    await game.type("cast mark still-here");
    await game.seesLine("I was still-here");

    // Another time.
    await game.page.getByRole("button", { name: "Later" }).click();
    await offer(game).waitFor({ state: "hidden" });
    await game.type("cast mark at-the-keys");
    await game.seesLine("I was at-the-keys");

    // The next cut asks again. The new page is the server's own, in the same game, and has nothing to offer.
    await server.stop("SIGTERM");
    server = await startServer(env);
    await game.goesOn();
    await offer(game).waitFor();
    await game.page.getByRole("button", { name: "Reload" }).click();
    await until("the new page", async () => {
      const now = game.page.locator("script[src]").first().getAttribute("src");
      return (await now.catch(() => script)) !== script;
    });
    await game.seesPrompt();
    await game.type("cast mark on-the-new-page");
    await game.seesLine("I was on-the-new-page");
    const asked = game.page.waitForResponse((response) => response.url() === game.page.url());
    await server.stop("SIGTERM");
    server = await startServer(env);
    await game.goesOn();
    await (await asked).finished();
    await game.type("cast mark unbothered");
    await game.seesLine("I was unbothered");
    assert.equal(await offer(game).isVisible(), false);
  } finally {
    await player.leave();
    await server.stop();
  }
});
