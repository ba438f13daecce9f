// Text on its way in and out: clipboard, pastes, widths, links, plain transcript, and what draws it.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { DESKTOP, Player, startBrowser, startServer, until } from "./stage.mjs";

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

function story(name, tell, renderer = "auto") {
  test(name, async () => {
    const player = await Player.enter(browser, { ...DESKTOP, permissions: ["clipboard-read", "clipboard-write"] });
    try {
      const game = await player.open(server.url);
      await game.start("busybox", "/ $ ");
      if (renderer !== "auto") {
        await game.page.goto(`${game.page.url()}?renderer=${renderer}`);
        await game.sees("/ $ ");
      }
      await game.state("playing");
      await tell(game, player);
    } finally {
      await player.leave();
    }
  });
}

const clipboard = (game) => game.page.evaluate(() => navigator.clipboard.readText());
const setClipboard = (game, text) => game.page.evaluate((text) => navigator.clipboard.writeText(text), text);

/** Where a cell of the terminal is on the page. */
async function cell(game, col, row) {
  const { cols, rows } = await game.size();
  const box = await game.page.locator(".xterm-screen").boundingBox();
  return { x: box.x + ((col + 0.5) * box.width) / cols, y: box.y + ((row + 0.5) * box.height) / rows };
}

/** The first row of the screen that shows this line; nothing may have scrolled yet. */
async function rowOf(game, line) {
  await game.seesLine(line);
  return (await game.lines()).indexOf(line);
}

story("Ctrl-Shift-C copies what is selected, Ctrl-Shift-V pastes, and neither is typed", async (game) => {
  await game.type("echo 'open'sesame");
  const at = await cell(game, 3, await rowOf(game, "opensesame"));
  await game.page.mouse.dblclick(at.x, at.y);
  await game.page.keyboard.press("Control+Shift+C");
  await until("the copied word", async () => (await clipboard(game)) === "opensesame");
  await setClipboard(game, "echo pa'st'ed");
  await game.page.keyboard.press("Control+Shift+V");
  await game.sees("$ echo pa'st'ed");
  await game.page.keyboard.press("Enter");
  await game.seesLine("pasted");
  assert.ok(!(await game.text()).includes("^"), "no control character was typed");
});

story("a paste is put into brackets, and can't leave them", async (game) => {
  await game.type("printf '\\033[?2004h'; echo ready; cat -v");
  await game.seesLine("ready");
  await game.paste("one\u001b[201~\u0003\u009b201~two");
  await game.page.keyboard.press("Enter");
  await game.seesLine("^[[200~one[201~201~two^[[201~");
});

story("a program reaches neither for the clipboard nor for the title's markup", async (game) => {
  await setClipboard(game, "mine");
  // Sets it, then asks for it; an answer would be typed into cat.
  await game.type("printf '\\033]52;c;eW91cnM=\\007\\033]52;c;?\\007\\033]0;<b>bold</b>\\033[31m\\007'; echo ready; cat -v");
  await game.seesLine("ready");
  await game.type("end");
  await until("cat's answer", async () => (await game.lines()).filter((line) => line === "end").length === 2);
  assert.equal(await clipboard(game), "mine");
  assert.ok(!(await game.text()).includes("^[]52"));
  assert.equal(await game.page.locator("#title b").count(), 0);
});

story("emoji have the width of Unicode 11", async (game) => {
  // A smiling face with hearts, new in Unicode 11, then the cursor's column is asked for.
  await game.type("echo ready; printf '\\r\\360\\237\\245\\260\\033[6n'; read -r answer; echo");
  await game.sees("\u{1f970}^[[");
  assert.match(await game.text(), /\u{1f970}\^\[\[\d+;3R/u);
});

story("links are opened only when they are web links, and without a way back", async (game, player) => {
  await game.page.evaluate(() => {
    window.opened = [];
    window.open = (...what) => void window.opened.push(what);
  });
  await game.type("clear; printf '\\033]8;;javascript:alert(1)\\007bad link\\033]8;;\\007\\nhttps://example.org/good\\n'");
  for (const [line, expected] of [
    ["bad link", []],
    ["https://example.org/good", [["https://example.org/good", "_blank", "noopener,noreferrer"]]],
  ]) {
    const at = await cell(game, 3, await rowOf(game, line));
    await game.page.mouse.move(at.x, at.y, { steps: 3 });
    if (expected.length > 0) await game.page.getByText("https://example.org/good").and(game.page.locator("#link-target")).waitFor();
    await game.page.mouse.click(at.x, at.y);
    assert.deepEqual(await game.page.evaluate(() => window.opened), expected);
  }
  assert.equal(player.context.pages().length, 1);
});

story("the plain transcript follows the game, is read and copied, and moves nothing", async (game) => {
  await game.type("seq 1 300");
  await game.seesLine("300");
  const size = await game.size();
  const before = await game.page.locator("#terminal").boundingBox();
  const toggle = game.page.getByRole("button", { name: "Plain text" });
  await toggle.click();
  const text = game.page.getByLabel("Transcript of the game");
  assert.match(await text.innerText(), /\n1\n2\n3\n[^]*\n299\n300\n/);
  await game.shoot("transcript");
  await game.page.keyboard.type("not for the shell");
  await game.page.getByRole("button", { name: "Copy all" }).click();
  await until("the copy", async () => /\n299\n300\n/.test(await clipboard(game)));

  // Selected text stays as it is.
  await text.focus();
  await game.page.keyboard.press("Control+A");
  assert.match(await game.page.evaluate(() => getSelection().toString()), /^[^]*\n1\n2\n[^]*300/);
  await game.page.keyboard.press("Escape");
  await text.waitFor({ state: "hidden" });
  assert.equal(await toggle.getAttribute("aria-pressed"), "false");
  await game.type("echo typed again");
  await game.seesLine("typed again");
  assert.ok(!(await game.text()).includes("not for the shell"));
  assert.deepEqual(await game.size(), size);
  assert.deepEqual(await game.page.locator("#terminal").boundingBox(), before);
});

story("who only types is drawn by the DOM, a flood by the graphics card", async (game) => {
  // This Chromium has none: its renderer in software is called one here.
  await game.page.addInitScript(() => {
    const prototype = HTMLCanvasElement.prototype;
    const { getContext } = prototype;
    prototype.getContext = function (kind, options) {
      return getContext.call(this, kind, { ...options, failIfMajorPerformanceCaveat: false });
    };
    WebGL2RenderingContext.prototype.getParameter = new Proxy(WebGL2RenderingContext.prototype.getParameter, {
      apply: (original, context, [name]) => {
        const found = Reflect.apply(original, context, [name]);
        return /swiftshader/i.test(String(found)) ? "A graphics card" : found;
      },
    });
  });
  await game.page.reload();
  await game.sees("/ $ ");
  const renderer = () => game.page.locator("#terminal").getAttribute("data-renderer");
  await game.type("echo typed");
  await game.seesLine("typed");
  assert.equal(await renderer(), "dom");
  await game.type("seq 20000");
  await until("the graphics card", async () => (await renderer()) === "webgl");
  await game.seesLine("20000");
  await game.type("echo after");
  await game.seesLine("after");
});

story("a lost graphics context falls back to the DOM, and the game goes on", async (game, player) => {
  const renderer = () => game.page.locator("#terminal").getAttribute("data-renderer");
  await until("the fast renderer", async () => (await renderer()) === "webgl");
  await game.type("echo before");
  await game.seesLine("before");
  await game.page.evaluate(() => {
    for (const canvas of document.querySelectorAll("#terminal canvas")) {
      canvas.getContext("webgl2")?.getExtension("WEBGL_lose_context")?.loseContext();
    }
  });
  // xterm.js gives the context three seconds to come back, and says on the console that it has not.
  player.expect(/webgl context not restored/);
  await until("the other renderer", async () => (await renderer()) === "dom");
  await game.type("echo after");
  await game.seesLine("after");
  await game.page.locator(".xterm-rows").getByText("after", { exact: true }).first().waitFor();
}, "webgl");

// xterm.js 6.0.0 throws within its writer there, and calls nobody back after that.
story("a terminal that dies of what a program writes is opened anew, for the player and who looks on", async (game, player) => {
  const mayDie = /Cannot set properties of undefined/;
  player.expect(mayDie);
  await game.page.getByRole("button", { name: "Share and record" }).click();
  await game.page.getByRole("button", { name: "Make a watch link" }).click();
  const field = game.page.getByLabel("Watch link");
  await field.waitFor();
  const link = await field.inputValue();
  await game.page.keyboard.press("Escape");
  const watcher = await Player.enter(player.context.browser());
  watcher.expect(mayDie);
  try {
    const other = await watcher.open(link);
    await other.sees("/ $ ");
    await game.type("printf '\\033c\\033[999;999H\\033[1Jx\\r\\n'; echo it goes on; read line; echo got $line");
    await game.seesLine("it goes on");
    await other.seesLine("it goes on");
    await game.state("playing");
    await game.type("a key");
    await game.seesLine("got a key");
    await other.seesLine("got a key");
    await game.shoot("opened-anew");
  } finally {
    await watcher.leave();
  }
});
