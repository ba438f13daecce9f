// The server is stopped, or dies, and starts again: open pages go on by themselves.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { Player, startBrowser, startServer, until } from "./stage.mjs";

let browser;
let home;

before(async () => {
  browser = await startBrowser();
  home = mkdtempSync(join(tmpdir(), "shellcraft-restart-"));
});

after(async () => {
  await browser?.close();
  rmSync(home, { recursive: true, force: true });
});

/** A port that nobody listens on. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

for (const how of ["SIGTERM", "SIGKILL"]) {
  test(`a game outlives ${how}`, async () => {
    const env = { PORT: String(await freePort()), DATA_DIR: join(home, how), INSTANCE: `browser-restart-${how}-${process.pid}` };
    let server = await startServer(env);
    const player = await Player.enter(browser);
    player.mayBeCut = true;
    try {
      const game = await player.open(server.url);
      await game.start("rust");
      await game.type("learn hi echo hello from before");
      await game.seesLine("learned hi");
      const before = await game.text();
      await server.stop(how);
      server = await startServer(env);
      await game.state("playing");
      assert.equal(await game.text(), before, "the screen is as it was");
      await game.type("cast hi");
      await game.seesLine("hello from before");

      // A page that is opened anew after a stop has the screen too.
      await game.page.reload();
      await until("a prompt", async () => (await game.text()).includes(" ~ $"));
      await game.type("echo and after");
      await game.seesLine("and after");
    } finally {
      await player.leave();
      await server.stop();
    }
  });
}
