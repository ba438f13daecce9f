// A real Firefox, driven by WebDriver BiDi (https://w3c.github.io/webdriver-bidi/) with the few commands that tests need.
// FIREFOX names another one than Debian's.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Game, packages, until } from "./stage.mjs";

const { WebSocket } = createRequire(packages)("ws");

/** What WebDriver calls the keys that write nothing (https://w3c.github.io/webdriver/#keyboard-actions). */
export const KEYS = {
  Backspace: "\uE003", Tab: "\uE004", Enter: "\uE007", Shift: "\uE008", Control: "\uE009", Alt: "\uE00A", Escape: "\uE00C",
  End: "\uE010", Home: "\uE011", ArrowLeft: "\uE012", ArrowUp: "\uE013", ArrowRight: "\uE014", ArrowDown: "\uE015", F5: "\uE035",
};

export class Firefox {
  /** What the pages have complained of on the console. */
  complaints = [];
  _calls = new Map();
  _last = 0;

  static async start() {
    const firefox = new Firefox();
    firefox._profile = mkdtempSync(join(tmpdir(), "shellcraft-firefox-"));
    const program = process.env.FIREFOX ?? "firefox-esr";
    const args = ["--headless", "--no-remote", "--profile", firefox._profile, "--remote-debugging-port", "0"];
    firefox._child = spawn(program, args, { stdio: ["ignore", "ignore", "pipe"] });
    process.once("exit", () => firefox._child.kill("SIGKILL"));
    firefox._ended = new Promise((resolve, reject) => {
      firefox._child.once("exit", resolve);
      firefox._child.once("error", reject);
    });
    firefox._ended.catch(() => {}); // Told below.
    let said = "";
    firefox._child.stderr.on("data", (chunk) => (said += chunk));
    const address = await until("Firefox", () => {
      assert.equal(firefox._child.exitCode, null, `Firefox has ended:\n${said}`);
      return /WebDriver BiDi listening on (ws:\S+)/.exec(said)?.[1];
    });
    firefox._socket = new WebSocket(`${address}/session`);
    await new Promise((resolve, reject) => firefox._socket.once("open", resolve).once("error", reject));
    firefox._socket.on("message", (data) => firefox._hear(JSON.parse(data)));
    await firefox.call("session.new", { capabilities: {} });
    await firefox.call("session.subscribe", { events: ["log.entryAdded"] });
    return firefox;
  }

  call(method, params) {
    const id = (this._last += 1);
    this._socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => this._calls.set(id, { resolve, reject, method }));
  }

  _hear({ id, type, method, params, result, error, message }) {
    if (method === "log.entryAdded" && (params.level === "error" || params.level === "warn")) this.complaints.push(params.text);
    const call = this._calls.get(id);
    if (call === undefined) return;
    this._calls.delete(id);
    if (type === "success") call.resolve(result);
    else call.reject(new Error(`${call.method}: ${error}: ${message}`));
  }

  /** A tab as the tests of Chromium know theirs. */
  async open(url) {
    const { context } = await this.call("browsingContext.create", { type: "tab" });
    const page = new Page(this, context);
    await page.goto(url);
    const game = new Game(page);
    // Scripts can't paste here.
    game.paste = async (text) => (await page.keyboard.type(text), true);
    return game;
  }

  async stop() {
    this._socket.terminate();
    this._child.kill("SIGTERM");
    await this._ended;
    rmSync(this._profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** As much of Playwright's page as stage.mjs and recorder.mjs use. */
class Page {
  constructor(firefox, context) {
    this._firefox = firefox;
    this._context = context;
    this.keyboard = { type: (text) => this.keys(...Array.from(text, (letter) => (letter === "\n" ? [KEYS.Enter] : [letter]))) };
  }

  url() {
    return this._url;
  }

  async goto(url) {
    await this._firefox.call("browsingContext.navigate", { context: this._context, url, wait: "complete" });
    this._url = url;
  }

  async reload() {
    await this._firefox.call("browsingContext.reload", { context: this._context, wait: "complete" });
  }

  async waitForURL(pattern) {
    // In between there may be no page to ask.
    const here = () => this.evaluate(() => location.href).catch(() => "");
    this._url = await until(`an address like ${pattern}`, async () => (pattern.test(await here()) ? here() : undefined));
  }

  async evaluate(act, argument) {
    const { type, result, exceptionDetails } = await this._firefox.call("script.callFunction", {
      functionDeclaration: `async (argument) => JSON.stringify(await (${act})(JSON.parse(argument)) ?? null)`,
      arguments: [{ type: "string", value: JSON.stringify(argument ?? null) }],
      awaitPromise: true,
      target: { context: this._context },
    });
    if (type !== "success") throw new Error(exceptionDetails.text);
    return JSON.parse(result.value) ?? undefined;
  }

  /** Presses keys, each a list of what is held down together. */
  async keys(...chords) {
    const actions = chords.flatMap((chord) => [
      ...chord.map((value) => ({ type: "keyDown", value })),
      ...chord.toReversed().map((value) => ({ type: "keyUp", value })),
    ]);
    await this._firefox.call("input.performActions", { context: this._context, actions: [{ type: "key", id: "keyboard", actions }] });
  }
}
