// The server is stopped, or dies, and starts again: open pages go on by themselves.

import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { ownAddress, Player, startBrowser, startServer, until } from "./stage.mjs";

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

for (const [first, ...others] of [["SIGTERM", "SIGKILL", "SIGTERM"], ["SIGKILL", "SIGTERM"]]) {
  test(`a game outlives ${[first, ...others].join(", then ")}`, async () => {
    const env = { ...ownAddress(), DATA_DIR: join(home, first), INSTANCE: `browser-restart-${randomUUID()}` };
    let server = await startServer(env);
    const player = await Player.enter(browser);
    player.mayBeCut = true;
    try {
      const game = await player.open(server.url);
      await game.start("rust");
      await game.type("learn hi echo hello from before");
      await game.seesLine("learned hi");
      for (const how of [first, ...others]) {
        // The prompt may come some time after the line before it.
        await game.seesPrompt();
        const before = await game.text();
        await server.stop(how);
        server = await startServer(env);
        await until("the same screen, in play", async () => (await game.isPlaying()) && (await game.text()) === before);
        await game.type(`cast hi; echo after ${how}`);
        await game.seesLine("hello from before");
        await game.seesLine(`after ${how}`);
      }

      // A page that is opened anew after a stop has the screen too.
      await game.page.reload();
      await game.seesPrompt();
      await game.type("echo and after");
      await game.seesLine("and after");
    } finally {
      await player.leave();
      await server.stop();
    }
  });
}
