// Clients that know nothing of us: xterm.js's own attach addon, unchanged, and Node's `ws`.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { packages, Player, startBrowser, startServer, until } from "./stage.mjs";

const WebSocket = createRequire(packages)("ws");
const MODULES = new URL("node_modules/", packages);
const FILES = { "/xterm.js": "@xterm/xterm/lib/xterm.js", "/attach.js": "@xterm/addon-attach/lib/addon-attach.js" };
const PAGE = `<!doctype html><link rel="icon" href="data:,"><div id="terminal"></div>
<script src="/xterm.js"></script><script src="/attach.js"></script><script>
  const terminal = new Terminal({ cols: 80, rows: 24 });
  terminal.open(document.getElementById("terminal"));
  const socket = new WebSocket(new URLSearchParams(location.search).get("url"));
  terminal.loadAddon(new AttachAddon.AttachAddon(socket));
  socket.addEventListener("close", ({ code }) => (document.title = "closed " + code));
  const { active } = terminal.buffer;
  const line = (row) => active.getLine(row).translateToString(true);
  window.shellcraft = { transcript: () => Array.from({ length: active.length }, (_, row) => line(row)).join("\\n") };
</script>`;

let server;
let browser;
let elsewhere;
let origin;

before(async () => {
  elsewhere = createServer(async ({ url }, response) => {
    const file = FILES[new URL(url, "http://x").pathname];
    response.setHeader("Content-Type", file === undefined ? "text/html" : "text/javascript");
    response.end(file === undefined ? PAGE : await readFile(new URL(file, MODULES)));
  });
  await new Promise((resolve) => elsewhere.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${elsewhere.address().port}`;
  server = await startServer({ ALLOWED_ORIGINS: origin });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  elsewhere?.close();
});

async function newSession() {
  const answer = await fetch(`${server.url}session`, { method: "POST" });
  assert.equal(answer.status, 201);
  return answer.json();
}

test("xterm.js's attach addon plays a game", async () => {
  const { ws_url } = await newSession();
  const player = await Player.enter(browser);
  try {
    const game = await player.open(`${origin}/?url=${encodeURIComponent(ws_url)}`);
    await game.sees(" ~ $ ");
    await game.page.locator("#terminal").click();
    await game.type("learn hi echo hello $1");
    await game.sees("learned hi");
    await game.type("cast hi world");
    await game.seesLine("hello world");
    await game.type("exit");
    await until("the close code", async () => (await game.page.title()) === "closed 1000");
  } finally {
    await player.leave();
  }
});

test("Node's ws plays a game, and hears nothing but output", async () => {
  const { ws_url } = await newSession();
  const socket = new WebSocket(ws_url);
  let output = "";
  let texts = 0;
  socket.on("message", (data, isBinary) => {
    if (!isBinary) texts += 1;
    output += data.toString();
  });
  const closed = new Promise((resolve) => socket.on("close", resolve));
  await until("a prompt", () => output.includes(" ~ $ "));
  socket.send("echo text");
  socket.send(Buffer.from(" and bytes\r"));
  await until("the echo", () => output.includes("\ntext and bytes\r\n"));
  const pong = new Promise((resolve) => socket.on("pong", (data) => resolve(data.toString())));
  socket.ping("alive");
  assert.equal(await pong, "alive");
  socket.send("exit\r");
  assert.equal(await closed, 1000);
  assert.equal(texts, 0);
});

test("Node's ws leaves, and the game stays", async () => {
  const { session_id, token, ws_url } = await newSession();
  const headers = { Authorization: `Bearer ${token}` };
  const again = async () => {
    const answer = await fetch(`${server.url}session/${session_id}/ticket`, { method: "POST", headers });
    return (await answer.json()).ws_url;
  };
  for (const word of ["first", "second"]) {
    // What is in an address is good once.
    const socket = new WebSocket(word === "first" ? ws_url : await again());
    let output = "";
    socket.on("message", (data) => (output += data.toString()));
    const closed = new Promise((resolve) => socket.on("close", resolve));
    await until("a prompt", () => output.includes(" ~ $ "));
    socket.send(`echo ${word}\r`);
    await until("the echo", () => output.includes(`\n${word}\r\n`));
    socket.close(1000);
    assert.equal(await closed, 1000);
  }
});
