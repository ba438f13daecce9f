// Pages of other sites: one in ALLOWED_ORIGINS plays a whole game by fetch and WebSocket, one that is not reads and does
// nothing.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";

import { Player, startBrowser, startServer } from "./stage.mjs";

/** Another site: an empty page, under a name of its own. */
async function startSite() {
  const site = createServer((_, answer) => {
    answer.setHeader("Content-Type", "text/html; charset=utf-8");
    answer.end("<!doctype html><html lang=en><link rel=icon href='data:,'><title>A school</title></html>");
  });
  await new Promise((resolve) => site.listen(0, "localhost", resolve));
  return {
    origin: `http://localhost:${site.address().port}`,
    stop: () => new Promise((resolve) => (site.closeAllConnections(), site.close(resolve))),
  };
}

/** Runs in the page: a game from its start to its end, as a page of another site has it. */
async function play(server) {
  const ask = async (method, path, token, body) => {
    const headers = {};
    if (token) headers.Authorization = `Bearer ${token}`;
    if (body) headers["Content-Type"] = "application/json";
    const answer = await fetch(server + path, { method, headers, body, credentials: "include" });
    const text = await answer.text();
    const [location, request] = ["Location", "X-Request-Id"].map((name) => answer.headers.get(name));
    return { status: answer.status, location, request, json: text === "" ? undefined : JSON.parse(text) };
  };
  const created = await ask("POST", "session", undefined, JSON.stringify({ shell: "rust" }));
  const { session_id: id, token } = created.json;
  const withoutToken = await ask("GET", `session/${id}/status`);
  const ticket = await ask("POST", `session/${id}/ticket`, token);
  const socket = new WebSocket(ticket.json.ws_url);
  socket.binaryType = "arraybuffer";
  let seen = "";
  const sees = (text) =>
    new Promise((resolve, reject) => {
      const look = () => seen.includes(text) && resolve();
      look();
      socket.onmessage = ({ data }) => {
        seen += new TextDecoder().decode(data);
        look();
      };
      socket.onclose = ({ code }) => reject(new Error(`closed with ${code} before ${text}: ${seen}`));
    });
  await sees(" ~ $ ");
  seen = "";
  socket.send("echo from elsewhere\r");
  await sees("\r\nfrom elsewhere\r\n");
  const closed = new Promise((resolve) => (socket.onclose = ({ code }) => resolve(code)));
  const ended = await ask("DELETE", `session/${id}`, token);
  const code = await closed;
  const after = await ask("GET", `session/${id}/status`, token);
  return { created, withoutToken, ticket, ended, code, after };
}

/** Runs in the page: what becomes of each attempt. */
async function tryAll({ server, ws }) {
  const failed = (error) => error.name;
  const start = fetch(`${server}session`, { method: "POST" }).then((answer) => answer.status, failed);
  const read = fetch(`${server}healthz`).then((answer) => answer.status, failed);
  const withToken = fetch(`${server}session`, { method: "POST", headers: { Authorization: "Bearer x" } });
  const socket = new Promise((resolve) => {
    const socket = new WebSocket(ws);
    socket.onopen = () => resolve("open");
    socket.onclose = ({ code }) => resolve(code);
  });
  return Promise.all([start, read, withToken.then((answer) => answer.status, failed), socket]);
}

/** How many games the server has started. */
async function started(server) {
  const text = await (await fetch(`${server.url}metrics`)).text();
  return [...text.matchAll(/^shellcraft_sessions_created_total\{.*\} (\d+)$/gm)].reduce((sum, [, n]) => sum + Number(n), 0);
}

test("a page of an allowed origin plays, and one of another does not", async () => {
  const [school, stranger] = await Promise.all([startSite(), startSite()]);
  const server = await startServer({ ALLOWED_ORIGINS: school.origin });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  try {
    const page = await player.open(school.origin);
    player.expect(/status of 404/);
    const game = await page.page.evaluate(play, server.url);
    assert.equal(game.created.status, 201);
    const id = game.created.json.session_id;
    assert.equal(game.created.location, `/session/${id}/status`, "headers can be read");
    assert.match(game.created.request, /^[0-9a-f-]{36}$/);
    // The browser keeps the player's cookie from other sites' pages: the token is what they have.
    assert.equal(game.withoutToken.status, 404);
    assert.equal(game.withoutToken.json.error.code, "session_not_found", "errors can be read");
    assert.equal(game.ticket.status, 201);
    assert.equal(game.ended.status, 204);
    assert.equal(game.code, 4002);
    assert.equal(game.after.status, 404);
    assert.equal(await started(server), 1);

    // A ticket that would open a terminal, in a stranger's hands.
    const mine = await (await fetch(`${server.url}session`, { method: "POST" })).json();
    const other = await player.open(stranger.origin);
    player.expect(/blocked by CORS policy|Failed to load resource|WebSocket connection to .* failed/);
    const attempts = await other.page.evaluate(tryAll, { server: server.url, ws: mine.ws_url });
    assert.deepEqual(attempts, ["TypeError", "TypeError", "TypeError", 1006]);
    assert.equal(await started(server), 2, "none was the stranger's");
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
    await Promise.all([school.stop(), stranger.stop()]);
  }
});

test("a page that the operator names has ours in a frame, and another does not", async () => {
  const [school, stranger] = await Promise.all([startSite(), startSite()]);
  const server = await startServer({ FRAME_ANCESTORS: school.origin });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  const frame = (url) => {
    const frame = document.createElement("iframe");
    frame.src = url;
    document.body.append(frame);
  };
  try {
    const inside = await player.open(school.origin);
    await inside.page.evaluate(frame, server.url);
    await inside.page.frameLocator("iframe").locator("#start-button").waitFor();

    const refused = /frame-ancestors/;
    player.expect(refused);
    const outside = await player.open(stranger.origin);
    const told = outside.page.waitForEvent("console", (line) => refused.test(line.text()));
    await outside.page.evaluate(frame, server.url);
    await told;
    assert.equal(await outside.page.frameLocator("iframe").locator("#start-button").count(), 0);
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
    await Promise.all([school.stop(), stranger.stop()]);
  }
});
