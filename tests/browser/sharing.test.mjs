// Others look on, and the game is recorded.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";

import { DESKTOP, intercept, PHONE, Player, startBrowser, startServer, until, Wire } from "./stage.mjs";

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

/** The screen as it is drawn, without what has scrolled away. */
const screen = async (game) => (await game.lines()).slice(-(await game.size()).rows).join("\n");

async function watchLink(game) {
  await game.page.getByRole("button", { name: "Share and record" }).click();
  await game.page.getByRole("button", { name: "Make a watch link" }).click();
  const link = game.page.getByLabel("Watch link");
  await link.waitFor();
  return link.inputValue();
}

test("a watch link shows the player's screen to others, until it is taken back", async () => {
  const player = await Player.enter(browser, { ...DESKTOP, permissions: ["clipboard-read", "clipboard-write"] });
  const spectator = await Player.enter(browser, { viewport: { width: 700, height: 700 } });
  const other = await Player.enter(browser, PHONE);
  spectator.mayBeCut = true;
  other.mayBeCut = true;
  try {
    const game = await player.open(server.url);
    await game.start("rust");
    await game.type("echo watch this");
    await game.seesLine("watch this");
    const size = await game.size();
    const id = /session\/([^/]+)/.exec(game.page.url())[1];

    const link = await watchLink(game);
    assert.ok(!link.includes(id), "the link does not tell the session");
    await game.page.getByRole("button", { name: "Copy", exact: true }).click();
    await until("the copied link", async () => (await game.page.evaluate(() => navigator.clipboard.readText())) === link);

    // Everything that is said on its socket.
    const said = [];
    spectator.context.on("page", (page) =>
      page.on("websocket", (socket) => {
        socket.on("framesent", ({ payload }) => said.push(`page: ${payload}`));
        socket.on("framereceived", ({ payload }) => said.push(`server: ${payload}`));
      }),
    );
    const watched = await spectator.open(link.replace(server.url, wire.url));
    await watched.state("playing");
    await watched.seesLine("watch this");
    await until("the player's size", async () => JSON.stringify(await watched.size()) === JSON.stringify(size));
    await watched.page.locator("#state", { hasText: /^watching$/ }).waitFor();
    const html = await watched.page.content();
    assert.ok(!html.includes(id), "nor does the page");
    await game.page.locator("#spectator-count", { hasText: "1" }).waitFor();
    await game.shoot("share-panel");
    await game.page.keyboard.press("Escape");

    // Its keys and its window are its own.
    await watched.page.locator("#terminal").click();
    await watched.page.keyboard.type("echo from the audience\n");
    await watched.page.setViewportSize({ width: 500, height: 500 });
    await game.type("echo and this");
    await watched.seesLine("and this");
    assert.deepEqual(await watched.size(), size);
    assert.deepEqual(await game.size(), size);
    await until("the player's screen", async () => (await screen(watched)) === (await screen(game)));
    assert.ok(!(await game.text()).includes("audience"));
    await watched.shoot("spectator");
    // The whole of it is in the window, and could not be much larger.
    const box = await watched.page.locator(".xterm-screen").boundingBox();
    assert.ok(box.width <= 500 && box.width >= 400 && box.x >= 0, JSON.stringify(box));

    const phone = await other.open(link);
    await phone.seesLine("and this");
    await game.page.locator("#spectator-count", { hasText: "2" }).waitFor();
    assert.equal(await phone.page.locator("#keys").isVisible(), false);
    await phone.shoot("phone-spectator");

    // The player's window changes, and with it every spectator's terminal.
    await game.page.setViewportSize({ width: 800, height: 500 });
    const resized = await until("a smaller terminal", async () => {
      const now = await game.size();
      return now.cols < size.cols && now;
    });
    for (const each of [watched, phone]) {
      await until("the new size", async () => JSON.stringify(await each.size()) === JSON.stringify(resized));
    }

    // A spectator's network comes and goes.
    wire.down();
    await watched.state("waiting");
    await game.type("echo missed by one");
    await phone.seesLine("missed by one");
    wire.up();
    await watched.goesOn();
    await watched.seesLine("missed by one");
    await until("the same screen", async () => (await screen(watched)) === (await screen(game)));

    await game.page.getByRole("button", { name: "Share and record" }).click();
    await game.page.getByRole("button", { name: "Stop watching" }).click();
    for (const each of [watched, phone]) {
      await each.state("ended");
      await each.page.getByText("The player has ended watching.").waitFor();
    }
    await game.page.locator("#spectators").waitFor({ state: "hidden" });
    await watched.shoot("spectator-sent-away");
    assert.ok(said.some((line) => line.includes('"role":"spectator"')));
    assert.ok(!said.some((line) => line.includes(id)), "nor does the server");
    const sent = said.filter((line) => line.startsWith("page: "));
    assert.deepEqual(sent.filter((line) => !/^page: \{"type":"(ack|ping)"/.test(line)), []);
    assert.equal((await fetch(link)).status, 404);
    await game.page.keyboard.press("Escape");
    await game.type("echo alone again");
    await game.seesLine("alone again");
  } finally {
    wire.up();
    await other.leave();
    await spectator.leave();
    await player.leave();
  }
});

test("a player on a phone sees how many watch, and that the game runs", async () => {
  const player = await Player.enter(browser, PHONE);
  const spectator = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    await game.start("rust");
    const watched = await spectator.open(await watchLink(game));
    await watched.state("playing");
    await game.page.getByRole("button", { name: "Start recording" }).click();
    await game.page.keyboard.press("Escape");
    const within = async (selector) => {
      const box = await game.page.locator(selector).boundingBox();
      assert.ok(box !== null && box.width > 5 && box.x >= 0 && box.x + box.width <= 390, `${selector}: ${JSON.stringify(box)}`);
      return box;
    };
    await game.page.locator("#spectator-count", { hasText: "1" }).waitFor();
    for (const selector of ["#spectator-count", "#state", "#record-mark", "#share-toggle", "#new-game"]) await within(selector);
    const state = await within("#state");
    assert.ok(state.width > 40, `"playing" is cut: ${state.width} px`);
    await game.shoot("phone-watched");
  } finally {
    await spectator.leave();
    await player.leave();
  }
});

test("the end of a game is the end of watching it", async () => {
  const player = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    await game.start("perl");
    const watched = await player.open(await watchLink(game));
    await watched.sees(" ~ $ ");
    await game.page.bringToFront();
    await game.page.keyboard.press("Escape");
    await game.type("exit");
    await watched.state("ended");
    await watched.page.getByRole("dialog", { name: "The game is over" }).waitFor();
    assert.equal(await watched.page.getByRole("button", { name: "New game" }).count(), 0);
  } finally {
    await player.leave();
  }
});

/** Reads an asciicast and demands that it is one. */
async function asciicast(download) {
  assert.match(download.suggestedFilename(), /^shellcraft-[0-9a-f]{8}\.cast$/);
  const lines = (await readFile(await download.path(), "utf8")).trimEnd().split("\n").map((line) => JSON.parse(line));
  const [head, ...events] = lines;
  assert.equal(head.version, 2);
  assert.ok(head.width > 20 && head.height > 5);
  let last = 0;
  for (const [at, kind, data] of events) {
    assert.ok(at >= last && typeof data === "string" && (kind === "o" || kind === "r"), JSON.stringify([at, kind]));
    last = at;
  }
  return events.filter(([, kind]) => kind === "o").map(([, , data]) => data).join("");
}

const focused = (game) => game.page.evaluate(() => document.activeElement?.id);

test("a recording starts, is shown, is played, and is taken home at any time and at the end", async () => {
  const player = await Player.enter(browser);
  try {
    const game = await player.open(server.url);
    await game.start("rust");
    await game.type("echo before");
    await game.seesLine("before");
    const mark = game.page.getByRole("img", { name: "This game is recorded" });
    assert.equal(await mark.isVisible(), false);
    await game.page.getByRole("button", { name: "Share and record" }).click();
    await game.page.getByRole("button", { name: "Start recording" }).click();
    await mark.waitFor();
    await game.page.keyboard.press("Escape");
    await game.type("echo on the record");
    await game.seesLine("on the record");
    await game.page.reload();
    await game.seesLine("on the record");
    await mark.waitFor();
    // The server knows, so another browser of the player learns of it as well.
    const elsewhere = await Player.enter(browser, PHONE);
    try {
      await elsewhere.context.addCookies(await player.context.cookies());
      const other = await elsewhere.open(game.page.url());
      await other.page.getByRole("img", { name: "This game is recorded" }).waitFor();
    } finally {
      await elsewhere.leave();
    }
    await game.page.getByRole("button", { name: "Take back" }).click();
    await game.state("playing");

    const save = async (button) => (await Promise.all([game.page.waitForEvent("download"), button.click()]))[0];
    await game.page.getByRole("button", { name: "Share and record" }).click();
    const early = await asciicast(await save(game.page.getByRole("button", { name: "Download" })));
    assert.match(early, /\non the record\r\n/);
    // What was on the screen is where it begins, once, and not how it came there.
    assert.equal(early.split("echo before").length, 2);
    assert.ok(early.indexOf("echo before") < early.indexOf("echo on the record"));
    await game.page.keyboard.press("Escape");
    await game.type("echo the last line");
    await game.seesLine("the last line");

    // Played on the page, from a first screen to the end, and to any place in between.
    await game.page.getByRole("button", { name: "Share and record" }).click();
    await game.page.getByRole("button", { name: "Play", exact: true }).click();
    const shown = () => game.page.locator("#replay-screen .xterm-rows").textContent();
    const shows = (text, times) => until(`${text} ${times} times`, async () => (await shown()).split(text).length === times + 1);
    await game.page.getByRole("button", { name: "Pause" }).waitFor();
    assert.equal(await focused(game), "replay-play");
    await shows("the last line", 2);
    assert.match(await shown(), /echo before/);
    await game.page.locator("#replay-play").getByText("Play").waitFor();
    await game.shoot("replay");
    const position = game.page.getByRole("slider", { name: "Position" });
    const to = async (key) => (await position.focus(), await game.page.keyboard.press(key));
    await to("Home");
    await shows("the last line", 0);
    await shows("before", 2);
    assert.match(await position.getAttribute("aria-valuetext"), /^0:00 of \d:\d\d$/);
    // An arrow skips five seconds, which is more than there is.
    await to("ArrowRight");
    await shows("the last line", 2);
    await to("ArrowLeft");
    await shows("the last line", 0);
    await to("End");
    await shows("the last line", 2);
    // What is over begins anew; what was typed meanwhile went nowhere.
    await game.page.getByRole("combobox", { name: "Speed" }).selectOption("4×");
    await game.page.locator("#replay-play").click();
    await shows("the last line", 0);
    await shows("the last line", 2);
    await game.page.locator("#replay-screen").click();
    await game.page.keyboard.press("Escape");
    await game.page.locator("#replay").waitFor({ state: "hidden" });
    assert.equal(await focused(game), "record-play");
    await game.page.keyboard.press("Escape");
    await game.type("exit");
    await game.state("ended");
    const late = await asciicast(await save(game.page.getByRole("button", { name: "Save the recording" })));
    assert.ok(late.startsWith(early) && late.length > early.length);
    await game.page.getByRole("button", { name: "Play the recording" }).click();
    await shows("the last line", 2);
    await game.page.locator("#replay-close").click();
    // The times of this one add up to 1.8114180000000002 s, which a slider rounds down: its end shows the end all the same.
    const times = [0.027672, 0.34447, 0.388692, 0.397161, 1.811418];
    const outputs = times.map((at) => JSON.stringify([at, "o", `output at ${at}\r\n`]));
    const body = ['{"version":2,"width":80,"height":24}', ...outputs, ""].join("\n");
    await intercept(game.page, "**/recording", (route) => route.fulfill({ body }));
    await game.page.getByRole("button", { name: "Play the recording" }).click();
    await game.page.getByRole("button", { name: "Pause" }).click();
    await to("Home");
    await shows("output at", 0);
    await to("End");
    await shows("output at", times.length);
    await game.page.unroute("**/recording");
    await game.page.locator("#replay-close").click();
    assert.equal(await game.page.evaluate(() => document.activeElement.textContent), "Play the recording");
    await game.shoot("ended-recorded");

    await game.page.getByRole("button", { name: "New game" }).click();
    await game.sees(" ~ $ ");
    await game.state("playing");
    await game.page.getByRole("button", { name: "Share and record" }).click();
    await game.page.getByRole("button", { name: "Start recording" }).click();
    await mark.waitFor();
    await game.page.getByRole("button", { name: "Drop it" }).click();
    await mark.waitFor({ state: "hidden" });
    await game.page.getByRole("button", { name: "Start recording" }).waitFor();
  } finally {
    await player.leave();
  }
});

test("an idle game counts down, and a key or a button keeps it", async () => {
  // The last quarter is counted down: long enough for a busy machine to press a key in it.
  const hasty = await startServer({ IDLE_TIMEOUT: "32s" });
  const player = await Player.enter(browser);
  try {
    const game = await player.open(hasty.url);
    await game.start("rust");
    const id = /session\/([^/]+)/.exec(game.page.url())[1];
    const before = await game.page.locator("#terminal").boundingBox();
    const countdown = game.page.getByText("Any key keeps it");
    await countdown.waitFor();
    await until("a second less", async () => Number.parseInt(await game.page.locator("#countdown-left").innerText(), 10) < 8);
    assert.deepEqual(await game.page.locator("#terminal").boundingBox(), before);
    await game.page.keyboard.type("x");
    await countdown.waitFor({ state: "hidden" });
    await game.sees("$ x");
    await game.state("playing");
    // Two ways that type nothing.
    const shown = await game.text();
    const status = async () => (await player.context.request.get(`${hasty.url}session/${id}/status`)).json();
    const deadline = async () => Date.parse((await status()).expires_at);
    for (const stay of [
      () => game.page.keyboard.press("Shift"),
      async () => {
        await game.page.getByRole("button", { name: "Stay", exact: true }).focus();
        await game.page.keyboard.press("Enter");
      },
    ]) {
      await countdown.waitFor();
      const before = await deadline();
      await stay();
      await countdown.waitFor({ state: "hidden" });
      await until("a later end", async () => (await deadline()) > before + 10_000);
      assert.equal(await game.text(), shown);
    }
    await game.page.keyboard.type("y");
    await game.sees("$ xy");
    await countdown.waitFor();
    // Only now, when nothing has to be done in time.
    await game.shoot("countdown");
    await game.state("ended");
    await game.page.getByRole("dialog", { name: "Gone quiet" }).waitFor();
  } finally {
    await player.leave();
    await hasty.stop();
  }
});
