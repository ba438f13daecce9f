// What a bad network, a second tab and a stopping server do to a game: nothing that loses it.

import assert from "node:assert/strict";
import { createServer, request } from "node:http";
import { after, before, test } from "node:test";

import { Player, startBrowser, startServer, until, Wire } from "./stage.mjs";

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

function story(name, tell) {
  test(name, async () => {
    const player = await Player.enter(browser);
    try {
      await tell(player);
    } finally {
      wire.up();
      await player.leave();
    }
  });
}

story("a reload brings the screen back", async (player) => {
  const game = await player.open(server.url);
  await game.start("rust");
  await game.type("echo before the reload");
  await game.seesLine("before the reload");
  await game.seesPrompt();
  const before = await game.text();
  await game.page.reload();
  await until("the same screen", async () => (await game.text()) === before);
  await game.type("echo and after");
  await game.seesLine("and after");
});

story("a second tab takes over, and the first takes back", async (player) => {
  const first = await player.open(server.url);
  await first.start("rust");
  await first.type("echo from the first");
  await first.seesLine("from the first");

  const second = await player.open(first.page.url());
  await second.seesLine("from the first");
  await first.state("away");
  await first.page.getByRole("dialog", { name: "Opened in another tab" }).waitFor();
  await first.shoot("taken-over");
  await second.type("echo from the second");
  await second.seesLine("from the second");

  await first.page.bringToFront();
  await first.page.getByRole("button", { name: "Take back" }).click();
  await first.state("playing");
  await second.state("away");
  await first.seesLine("from the second");
  await first.type("echo mine again");
  await first.seesLine("mine again");
  assert.equal((await first.lines()).filter((line) => line === "from the first").length, 1);
});

story("cuts at any byte lose nothing and repeat nothing", async (player) => {
  player.mayBeCut = true;
  const game = await player.open(wire.url);
  await game.start("rust");
  const numbers = Array.from({ length: 250 }, (_, index) => `L${index + 1}`);
  await game.type(`learn count ${numbers.map((number) => `echo ${number}`).join(";")}`);
  await game.seesLine("learned count");

  for (const bytes of [1, 7, 97, 333, 512, 801]) {
    await game.type("clear");
    await until("an empty screen", async () => !(await game.text()).includes("L250"));
    await game.page.keyboard.type("cast count");
    await game.sees("$ cast count");
    const { cuts } = wire;
    wire.cutAfter(bytes);
    await game.page.keyboard.press("Enter");
    await until(`a cut after ${bytes} bytes`, () => wire.cuts > cuts);
    await game.seesLine("L250");
    await game.state("playing");
    const seen = (await game.lines()).filter((line) => /^L\d+$/.test(line));
    assert.deepEqual(seen, numbers, `after a cut behind ${bytes} bytes`);
  }
});

story("a network that is away is shown, typing is not kept, and the game goes on", async (player) => {
  player.mayBeCut = true;
  const game = await player.open(wire.url);
  await game.start("perl");
  await game.type("echo one");
  await game.seesLine("one");

  wire.down();
  await game.state("waiting");
  await game.page.keyboard.type("lost");
  await game.page.getByText("keys are not sent").waitFor();
  await game.page.getByRole("button", { name: "Try now" }).waitFor();
  await game.sees("one"); // The screen stays.
  await game.shoot("away");

  wire.up();
  await game.page.evaluate(() => window.dispatchEvent(new Event("online")));
  await game.state("playing");
  await game.type("echo two");
  await game.seesLine("two");
  assert.ok(!(await game.text()).includes("lost"));
});

story("a game ended elsewhere is over here, too", async (player) => {
  player.mayBeCut = true;
  const game = await player.open(wire.url);
  await game.start("rust");
  const id = /session\/([^/]+)/.exec(game.page.url())[1];
  // Another device of the player: it has the cookie, and goes past the cut wire.
  const elsewhere = player.context.request;
  const answer = await elsewhere.delete(`${server.url}session/${id}`);
  assert.equal(answer.status(), 204);
  await game.state("ended");
  await game.page.getByRole("dialog", { name: "The game was ended" }).waitFor();

  // And after a cut, when nobody could say so: the status tells.
  const other = await player.open(wire.url);
  await other.start("rust");
  wire.down();
  await other.state("waiting");
  const otherId = /session\/([^/]+)/.exec(other.page.url())[1];
  await elsewhere.delete(`${server.url}session/${otherId}`);
  wire.up();
  await other.state("ended");
  await other.page.getByRole("dialog", { name: "This game is over" }).waitFor();
});

/** A proxy that passes on everything but upgrades, as many a careless configuration does. */
async function startPlainProxy(to) {
  const proxy = createServer((asked, answer) => {
    const { upgrade, connection, ...headers } = asked.headers;
    const onward = request(new URL(asked.url, to), { method: asked.method, headers }, (got) => {
      answer.writeHead(got.statusCode, got.headers);
      got.pipe(answer);
    });
    onward.on("error", () => answer.destroy()); // The page has left, or the server.
    asked.pipe(onward);
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  return proxy;
}

test("a proxy that lets no WebSocket through is called by its name", async () => {
  const proxy = await startPlainProxy(server.url);
  const player = await Player.enter(browser);
  player.mayBeCut = true;
  player.expect(/status of 426/);
  try {
    const game = await player.open(`http://127.0.0.1:${proxy.address().port}/`);
    await game.page.locator("#start-button").click();
    await game.page.waitForURL("**/session/*/connect");
    await game.page.getByText("no WebSocket gets through").waitFor();
    await game.shoot("no-websocket");
    // All of a long sentence can be read, on a phone too, and the button is there.
    for (const width of [1280, 390]) {
      await game.page.setViewportSize({ width, height: 800 });
      const box = await game.page.getByRole("button", { name: "Try now" }).boundingBox();
      assert.ok(box !== null && box.x >= 0 && box.x + box.width <= width, `${width}: ${JSON.stringify(box)}`);
    }

    // The same page, past the proxy: nothing was wrong with the game.
    const direct = await player.open(new URL(new URL(game.page.url()).pathname, server.url).href);
    await direct.sees(" ~ $ ");
  } finally {
    await player.leave();
    proxy.closeAllConnections();
    proxy.close();
  }
});

test("a stopping server is waited for, or has told that it has ended the game", async () => {
  const leaving = await startServer();
  const player = await Player.enter(browser);
  player.mayBeCut = true;
  try {
    const game = await player.open(leaving.url);
    await game.start("rust");
    await leaving.stop();
    // The page comes back at once. Whether the server is there to tell is a matter of milliseconds.
    const waits = game.page.getByRole("button", { name: "Try now" });
    await waits.or(game.page.locator("#card").getByText("Reason: server stopped. Once your spellbook is saved")).waitFor();
    await game.shoot("server-away");
  } finally {
    await player.leave();
  }
});
