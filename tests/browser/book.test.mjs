// The player's spellbook in the page: on an ending, on the start page, as a file to take away and to bring back.

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { tmpdir } from "node:os";

import { Player, startBrowser, startServer } from "./stage.mjs";

/** What the browser saves after `act`, as text. */
async function downloaded(page, act) {
  const [download] = await Promise.all([page.waitForEvent("download"), act()]);
  assert.equal(download.suggestedFilename(), "spellbook.dat");
  return readFileSync(await download.path(), "utf8");
}

test("a spellbook is told of, taken away and brought back", async () => {
  const home = mkdtempSync(join(tmpdir(), "shellcraft-book-"));
  const file = (name, bytes) => {
    writeFileSync(join(home, name), bytes);
    return join(home, name);
  };
  const server = await startServer();
  const browser = await startBrowser();
  const enter = () => Player.enter(browser);
  const [player, other, another, newcomer] = [await enter(), await enter(), await enter(), await enter()];
  // The page of a game that has ended asks what became of it.
  for (const one of [player, other, another, newcomer]) one.expect(/status of (404|409|410)/);
  try {
    // Learnt, and kept when the game ends.
    const game = await player.open(server.url);
    const { page } = game;
    await game.start("rust");
    await game.type("learn hi echo hello $1");
    await game.seesPrompt();
    await game.type("exit");
    const card = page.locator("#card");
    await card.getByText("Its newest version has 1 spell, saved just now.").waitFor();
    const link = card.getByRole("link", { name: "Download the spellbook" });
    const book = await downloaded(page, () => link.click());
    assert.match(book, /^[0-9a-f]{8} learn hi echo hello \$1\n$/);
    await game.shoot("book-card");

    // Told of on the start page too, where the older versions are.
    await card.getByRole("link", { name: "Older versions" }).click();
    await page.waitForURL("**/#book");
    await page.locator("#book summary").getByText("1 spell, saved just now").waitFor();
    const newest = page.locator("#book-list li").first().getByRole("link", { name: /^Download/ });
    assert.equal(await downloaded(page, () => newest.click()), book);
    await game.shoot("book-start");

    // Another device, where nobody is known yet: what is no spellbook is refused and changes nothing.
    const elsewhere = await other.open(server.url);
    const there = elsewhere.page;
    await there.locator("#book summary").click();
    const upload = async (path) => {
      const [chooser] = await Promise.all([
        there.waitForEvent("filechooser"),
        there.getByRole("button", { name: "Upload a spellbook…" }).click(),
      ]);
      await chooser.setFiles(path);
    };
    const message = there.locator("#message");
    await upload(file("picture.png", Buffer.from([0x89, 0x50, 0x4e, 0x47, 0xff])));
    await message.getByText("it is not text").waitFor();
    await upload(file("long.dat", Buffer.alloc((1 << 20) + 1, "a")));
    await message.getByText("1 MiB at most").waitFor();
    assert.equal(await there.locator("#book-list li").count(), 0);
    await upload(file("spellbook.dat", book));
    await message.getByText("Your next game begins with that spellbook. It has one spell.").waitFor();
    await there.locator("#book summary").getByText("1 spell, saved just now").waitFor();
    await elsewhere.start("perl");
    await elsewhere.type("cast hi again");
    await elsewhere.seesLine("hello again");

    // By its code the first device's player is on a third one, and there alone what was there is asked about.
    const code = page.locator("#code");
    await page.getByRole("button", { name: "Show my recovery code" }).click();
    await code.waitFor();
    const told = await code.textContent();
    const third = await another.open(server.url);
    await third.page.locator("#book summary").click();
    const use = async (text) => {
      await third.page.getByRole("textbox", { name: "Recovery code of another device" }).fill(text);
      await third.page.getByRole("button", { name: "Use it here" }).click();
    };
    await use("2-0000");
    await third.page.locator("#message").getByText("No player has that recovery code").waitFor();
    await use(told);
    await third.page.locator("#message").getByText("This browser has the spellbook of that code now.").waitFor();
    await third.page.locator("#book summary").getByText("1 spell").waitFor();
    await third.shoot("book-recovered");
    await use(told);
    await third.page.locator("#message").getByText("would be left behind").waitFor();
    await third.page.getByRole("button", { name: "Use it here" }).click();
    await third.page.locator("#message").getByText("This browser has the spellbook of that code now.").waitFor();

    // So is who plays a first game, of which nothing is saved yet.
    const first = await newcomer.open(server.url);
    await first.start("rust");
    const start = await newcomer.open(server.url);
    await start.page.locator("#running-list li").waitFor();
    await start.page.locator("#book summary").click();
    await start.page.getByRole("textbox", { name: "Recovery code of another device" }).fill(told);
    await start.page.getByRole("button", { name: "Use it here" }).click();
    await start.page.locator("#message").getByText("would be left behind").waitFor();

    // While that game runs its own saves would go over another one.
    const second = await other.open(server.url);
    await second.page.locator("#book summary").click();
    const [chooser] = await Promise.all([second.page.waitForEvent("filechooser"), second.page.locator("#book-upload").click()]);
    await chooser.setFiles(join(home, "spellbook.dat"));
    await second.page.locator("#message").getByText(/./).waitFor();
    assert.doesNotMatch(await second.page.locator("#message").textContent(), /next game begins/);
  } finally {
    await player.leave();
    await other.leave();
    await another.leave();
    await newcomer.leave();
    await browser.close();
    await server.stop();
    rmSync(home, { recursive: true });
  }
});
