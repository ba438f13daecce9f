// A program in the game's container that records every byte that it reads.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";

import { until } from "./stage.mjs";

export class Recorder {
  _ends = 0;

  /** At the prompt of busybox's shell. `modes`: what the program writes first, as printf spells it. */
  static async start(game, modes = "") {
    const recorder = new Recorder();
    recorder._game = game;
    const [, id] = /session\/([^/]+)/.exec(game.page.url());
    recorder._container = `shellcraft-${id}`;
    await game.type(`stty raw -echo; printf '${modes}\\r\\nready\\r\\n'; cat >/tmp/keys`);
    await game.seesLine("ready");
    await until("the recorder", () => Promise.resolve(recorder._inside("ls /tmp").includes("keys")));
    return recorder;
  }

  _inside(command) {
    return execFileSync("docker", ["exec", this._container, "/bin/sh", "-c", command]).toString();
  }

  /** What the program reads from now on until `act` is done and all that it has set off. */
  async reads(act) {
    const before = this._inside("cat /tmp/keys").length;
    await act(this);
    // What keys put off till later comes before this, and this before the mark.
    await this._game.page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 0)));
    this._ends += 1;
    const end = `<end ${this._ends}>`;
    assert.ok(await this._game.paste(end));
    const read = await until("what was typed", () => {
      const keys = this._inside("cat /tmp/keys").slice(before);
      return Promise.resolve(keys.includes(end) ? keys : undefined);
    });
    // In the brackets of a paste if the program asked for those.
    return read.slice(0, read.indexOf(end)).replace(/^\x1b\[201~/, "").replace(/\x1b\[200~$/, "");
  }

  /** The same, with what the program is to read. */
  async check(what, act, expected) {
    assert.equal(await this.reads(act), expected, what);
  }
}
