// Many come at once: the landing page tells its place in the queue.

import assert from "node:assert/strict";
import { test } from "node:test";

import { HeldEngine, Player, startBrowser, startServer, until } from "./stage.mjs";

/** Sessions that the server makes at once. */
const AT_ONCE = 4;

test("the place in the queue is shown, and the game comes by itself", async () => {
  const engine = await HeldEngine.start();
  const server = await startServer({ DOCKER_HOST: engine.url });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  try {
    const length = async () => /^shellcraft_queue_length (\d+)$/m.exec(await (await fetch(`${server.url}metrics`)).text())[1];
    const others = Array.from({ length: AT_ONCE + 2 }, () => fetch(`${server.url}session`, { method: "POST" }));
    await until("two to wait", async () => (await length()) === "2");

    const game = await player.open(server.url);
    const message = game.page.locator("#message");
    // In one step of the page's own: on a busy machine the words may have come before anybody could look.
    const height = await game.page.evaluate(() => {
      document.querySelector("#start-button").click();
      return document.querySelector("#message").getBoundingClientRect().height;
    });
    assert.equal(height, 0, "a game that comes at once needs no words");
    const line = message.locator("[aria-hidden]", { hasText: /^Place 3 in the queue, about \d+ s$/ });
    await line.waitFor();
    assert.equal(await message.locator("xpath=..").getAttribute("role"), "status");
    assert.match(await message.locator(".off-screen").innerText(), /^Place 3 in the queue/);
    await game.shoot("landing-queue");
    // The estimate grows while nothing goes on, and is not read aloud again and again.
    const first = await line.innerText();
    await until("another estimate", async () => (await line.innerText()) !== first);
    assert.equal(await message.locator(".off-screen").innerText(), first);

    // Whoever goes away is not waited for.
    const leaver = await player.open(server.url);
    await leaver.page.locator("#start-button").click();
    await leaver.page.getByText("Place 4 in the queue").first().waitFor();
    await leaver.page.close();
    await until("its place to be free", async () => (await length()) === "3");

    engine.letGo();
    await game.page.waitForURL("**/session/*/connect");
    await game.sees(" ~ $ ");
    for (const other of others) assert.equal((await other).status, 201);
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
    await engine.stop();
  }
});
