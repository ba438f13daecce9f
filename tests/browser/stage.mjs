// What the browser tests stand on: the real server, a real Chromium, and a network that can be cut.
//
// Needs a Docker Engine with the sandbox images (and shellcraft-test/busybox and the fake Engine, which `cargo test` makes), static/node_modules, and the server's binary: SHELLCRAFT_BIN,
// or the newer one of target/release and target/debug. CHROMIUM names another browser than Debian's.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { createRequire } from "node:module";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { fileURLToPath, pathToFileURL } from "node:url";

const top = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
/** The page's packages, whose lock file covers the tests' as well. */
export const packages = pathToFileURL(join(top, "static", "package.json"));
const require = createRequire(packages);
const { chromium } = require("playwright-core");

/** How long anything may take to show. Generous: it is only waited out when a test fails. */
const DEADLINE_MS = 60_000;
const OUTPUT = join(top, "tests", "output");

/** Waits until `condition` gives something true, and gives it back; `what` is said when it never does. */
export async function until(what, condition, deadlineMs = DEADLINE_MS) {
  const end = Date.now() + deadlineMs;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > end) assert.fail(`waited ${deadlineMs} ms in vain for ${what}`);
    await pause(25);
  }
}

/**
 * Has `handler` answer the page's requests for `pattern`, as `page.route` does, and waits until the page heeds it: a page that is open
 * sends what it asks for just then to the server all the same.
 */
export async function intercept(page, pattern, handler) {
  await page.route(pattern, handler);
  const probe = "**/healthz?intercepted";
  await page.route(probe, (route) => route.fulfill({ body: "intercepted" }));
  const isHeeded = () => page.evaluate(() => fetch("/healthz?intercepted").then((answer) => answer.text()));
  await until("the page to heed the route", async () => (await isHeeded()) === "intercepted");
  await page.unroute(probe);
}

function binary() {
  if (process.env.SHELLCRAFT_BIN) return process.env.SHELLCRAFT_BIN;
  const built = ["release", "debug"]
    .map((profile) => join(top, "target", profile, "shellcraft"))
    .map((path) => ({ path, at: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 }))
    .sort((a, b) => b.at - a.at)[0];
  assert.ok(built.at > 0, "the server is not built: cargo build, or set SHELLCRAFT_BIN");
  return built.path;
}

/** An Engine that makes no container until it is let go on: a relay before the real one. */
export class HeldEngine {
  static async start() {
    const engine = new HeldEngine();
    engine._home = mkdtempSync(join(tmpdir(), "held-engine-"));
    const real = (process.env.DOCKER_HOST ?? "unix:///var/run/docker.sock").replace(/^unix:\/\//, "");
    engine._isLet = new Promise((resolve) => (engine.letGo = resolve));
    engine._server = createServer((near) => {
      const far = connect(real);
      for (const [from, to] of [[near, far], [far, near]]) {
        from.on("error", () => {}); // Whoever ends it, both ends end.
        from.on("close", () => to.destroy());
      }
      far.pipe(near);
      let before = Promise.resolve();
      near.on("data", (chunk) => {
        const isCreate = /^POST \S*\/containers\/create/.test(chunk.toString("latin1"));
        before = before.then(() => isCreate && engine._isLet).then(() => void far.write(chunk));
      });
      near.on("end", () => void before.then(() => far.end()));
    });
    const socket = join(engine._home, "engine.sock");
    await new Promise((resolve) => engine._server.listen(socket, resolve));
    engine.url = `unix://${socket}`;
    return engine;
  }

  async stop() {
    this.letGo();
    await new Promise((resolve) => this._server.close(resolve));
    rmSync(this._home, { recursive: true });
  }
}

/** The fake Engine of the fast ring, where more containers are wanted than a machine should have. */
export class FakeEngine {
  static async start() {
    const engine = new FakeEngine();
    // `cargo test` has made it.
    const program = join(top, "target", "debug", "examples", "fake-engine");
    engine._child = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
    process.once("exit", () => engine._child.kill("SIGKILL"));
    engine._ended = new Promise((resolve) => engine._child.once("exit", resolve));
    let said = "";
    engine._child.stdout.on("data", (chunk) => (said += chunk));
    engine.url = await until("the fake Engine", () => /^(unix:.*)\n/.exec(said)?.[1]);
    return engine;
  }

  async stop() {
    this._child.stdin.end();
    await this._ended;
  }
}

let addresses = 0;
/**
 * Where a server is that is to come back at the same place. No port is asked for and let go again, for somebody could
 * take it meanwhile: this is a loopback address that only this process uses, with a port below those that systems give
 * out by themselves.
 */
export function ownAddress() {
  addresses += 1;
  return { BIND: `127.${128 | ((process.pid >> 8) & 127)}.${process.pid & 255}.${addresses}`, PORT: "18080" };
}

/** Starts the server on a free port; `stop` ends it and its games by SIGINT and demands exit status 0. */
export async function startServer(env = {}, program = binary()) {
  const data = env.DATA_DIR ?? mkdtempSync(join(tmpdir(), "shellcraft-data-"));
  const child = spawn(program, [], {
    cwd: top,
    env: {
      ...process.env,
      PORT: "0",
      BIND: "127.0.0.1",
      // An instance of its own: what another server runs on the same Engine, or a killed run has left there, is not its
      // to adopt or to tidy up.
      INSTANCE: `browser-test-${randomUUID()}`,
      DATA_DIR: data,
      POOL_SIZE: "0",
      // All tests are one address, and often one player.
      RATE_LIMIT: "off",
      SESSIONS_PER_PLAYER: "1000",
      SESSIONS_PER_ADDRESS: "1000",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  // A test that fails before it stops the server is not waited for by its process, and leaves none behind.
  for (const handle of [child, child.stdout, child.stderr]) handle.unref();
  process.once("exit", () => child.kill("SIGKILL"));
  let said = "";
  const hear = (chunk) => (said += chunk);
  child.stdout.on("data", hear);
  child.stderr.on("data", hear);
  const ended = new Promise((resolve) => child.once("exit", (code, signal) => resolve(code ?? signal)));
  /** Its exit status, when it ends by itself. */
  const end = () => (child.ref(), ended);
  const stop = async (how = "SIGINT") => {
    child.ref();
    child.kill(how);
    const status = await Promise.race([ended, pause(DEADLINE_MS, "still there", { ref: false })]);
    if (status === "still there") child.kill("SIGKILL");
    if (data !== env.DATA_DIR) rmSync(data, { recursive: true, force: true });
    assert.equal(status, how === "SIGKILL" ? how : 0, `the server's exit status; it said:\n${said}`);
  };
  try {
    const url = await until("the server's URL", () => {
      assert.equal(child.exitCode, null, `the server ended at once:\n${said}`);
      return /http:\/\/127(\.\d+){3}:\d+\//.exec(said)?.[0];
    });
    await until("readyz", async () => (await fetch(`${url}readyz`).catch(() => undefined))?.status === 200);
    return { url, stop, end };
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
}

/** `more` are switches of Chromium's. */
export function startBrowser(...more) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      ...more,
    ],
  });
}

export const DESKTOP = { viewport: { width: 1280, height: 800 } };
export const PHONE = { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true, deviceScaleFactor: 2 };

/** What Chromium itself says when a network is cut; never a violation of the policy. */
const CUT = /^(WebSocket connection to .* failed|Failed to load resource: (net::|the server responded with a status of (404|410|503)))/;

/** A player with a browser profile of their own. `complaints` must be empty at the end. */
export class Player {
  complaints = [];
  mayBeCut = false;
  _expected = [];

  /** What the browser will rightly complain of. */
  expect(pattern) {
    this._expected.push(pattern);
  }

  static async enter(browser, options = DESKTOP) {
    const player = new Player();
    player._browser = browser;
    player.context = await browser.newContext({ colorScheme: "dark", ...options });
    player.context.setDefaultTimeout(DEADLINE_MS);
    return player;
  }

  async open(url) {
    const page = await this.context.newPage();
    page.on("console", (message) => {
      // The software renderer comments on every screenshot; nothing a player would meet.
      if (message.type() === "warning" && message.text().includes("GL Driver Message")) return;
      if (message.type() !== "error" && message.type() !== "warning") return;
      if (this.mayBeCut && CUT.test(message.text())) return;
      if (this._expected.some((pattern) => pattern.test(message.text()))) return;
      this.complaints.push(`${message.type()}: ${message.text()}`);
    });
    page.on("pageerror", (error) => {
      if (this._expected.some((pattern) => pattern.test(error.message))) return;
      this.complaints.push(`exception: ${error.stack}`);
    });
    await page.goto(url);
    return new Game(page);
  }

  async leave() {
    await this.context.close();
    // Nor does the browser stay when this fails.
    if (this.complaints.length > 0) await this._browser.close();
    assert.deepEqual(this.complaints, [], "the browser's console");
  }
}

/** One tab. */
export class Game {
  constructor(page) {
    this.page = page;
  }

  /** From the landing page to the prompt. */
  async start(shell, prompt = " ~ $ ") {
    await this.page.locator(`.shell:has(input[value="${shell}"])`).click();
    await this.page.locator("#start-button").click();
    await this.page.waitForURL("**/session/*/connect");
    await this.sees(prompt);
  }

  text() {
    return this.page.evaluate(() => globalThis.shellcraft?.transcript() ?? "");
  }

  lines() {
    return this.text().then((text) => text.split("\n").map((line) => line.trimEnd()));
  }

  async sees(expected) {
    await until(`${JSON.stringify(expected)} on the screen`, async () => (await this.text()).includes(expected)).catch(
      async (error) => {
        throw new Error(`${error.message}; there is:\n${await this.text()}`);
      },
    );
  }

  /** Waits for a line that is exactly this. */
  async seesLine(expected) {
    await until(`the line ${JSON.stringify(expected)}`, async () => (await this.lines()).includes(expected)).catch(
      async (error) => {
        throw new Error(`${error.message}; there is:\n${await this.text()}`);
      },
    );
  }

  /** Waits until a game shell's prompt is the last thing on the screen: what was typed before it is done. */
  async seesPrompt() {
    const last = async () => (await this.lines()).filter((line) => line !== "").at(-1) ?? "";
    await until("the prompt", async () => (await last()).endsWith(" ~ $"));
  }

  state(kind, deadlineMs = DEADLINE_MS) {
    return this.page.locator(`body[data-state="${kind}"]`).waitFor({ timeout: deadlineMs });
  }

  async isPlaying() {
    return (await this.page.evaluate(() => document.body.dataset.state)) === "playing";
  }

  type(line) {
    return this.page.keyboard.type(`${line}\n`);
  }

  /** The page's own key for impatience: a network that comes back is tried at once. */
  nudge() {
    return this.page.evaluate(() => window.dispatchEvent(new Event("online")));
  }

  /**
   * Pastes, each text an input of its own, before the page hears anything more of the network. False when the page
   * was not playing at that moment: then nothing is pasted.
   */
  paste(...texts) {
    return this.page.evaluate((texts) => {
      if (document.body.dataset.state !== "playing") return false;
      for (const text of texts) {
        const clipboardData = new DataTransfer();
        clipboardData.setData("text/plain", text);
        const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
        document.querySelector(".xterm-helper-textarea").dispatchEvent(event);
      }
      return true;
    }, texts);
  }

  /** Waits until the game goes on, impatiently. */
  goesOn() {
    return until("the game to go on", async () => (await this.nudge(), await this.isPlaying()));
  }

  size() {
    return this.page.evaluate(() => globalThis.shellcraft.size());
  }

  async shoot(name) {
    mkdirSync(OUTPUT, { recursive: true });
    await this.page.screenshot({ path: join(OUTPUT, `${name}.png`) });
  }
}

/**
 * A TCP relay in front of the server whose wires can be cut: Playwright's own `setOffline` leaves open
 * WebSockets alone.
 */
export class Wire {
  _sockets = new Set();
  _isDown = false;
  /** Bytes of the WebSocket that still pass, each way. */
  _left = { toPage: Infinity, toServer: Infinity };
  _next = () => Infinity;

  static async to(serverUrl) {
    const wire = new Wire();
    const { port } = new URL(serverUrl);
    wire._server = createServer((near) => wire._relay(near, Number(port)));
    await new Promise((resolve) => wire._server.listen(0, "127.0.0.1", resolve));
    wire.url = `http://127.0.0.1:${wire._server.address().port}/`;
    return wire;
  }

  _relay(near, port) {
    if (this._isDown) {
      near.resetAndDestroy();
      return;
    }
    const far = connect(port, "127.0.0.1");
    let isWebSocket = false;
    for (const socket of [near, far]) {
      this._sockets.add(socket);
      socket.setNoDelay(true);
      socket.on("error", () => {}); // Cutting is what we are here for.
      socket.on("close", () => {
        this._sockets.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    const pass = (from, to, way) => {
      from.on("data", (chunk) => {
        if (way === "toServer") isWebSocket ||= /^upgrade: *websocket/im.test(chunk.toString("latin1"));
        if (!isWebSocket || chunk.length <= this._left[way]) {
          if (isWebSocket) this._left[way] -= chunk.length;
          to.write(chunk);
          return;
        }
        // The last bytes still arrive; then, in the middle of whatever it was, the wire is dead.
        to.end(chunk.subarray(0, this._left[way]));
        this._left = { toPage: this._next(), toServer: Infinity };
        from.destroy();
        this.cuts += 1;
      });
    };
    pass(near, far, "toServer");
    pass(far, near, "toPage");
  }

  cuts = 0;

  /** Cuts the WebSocket after so many more bytes towards the page, be it inside a frame. */
  cutAfter(bytes) {
    this._left.toPage = bytes;
  }

  /** The same, towards the server. */
  cutKeysAfter(bytes) {
    this._left.toServer = bytes;
  }

  /** Cuts again and again, each time after so many bytes towards the page as `next` says. */
  cutAgainAfter(next) {
    this._next = next;
    this._left.toPage = next();
  }

  down() {
    this._isDown = true;
    for (const socket of this._sockets) socket.destroy();
  }

  up() {
    this._isDown = false;
    this._next = () => Infinity;
    this._left = { toPage: Infinity, toServer: Infinity };
  }

  async close() {
    this.down();
    await new Promise((resolve) => this._server.close(resolve));
  }
}
