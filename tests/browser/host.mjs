// Plays at an address over https, as a player of an operator's own host would: .ci/host runs this in that host's network.
//
//   node host.mjs URL PICTURE
//
// The name in the URL is taken to be this host's, and nobody need vouch for its certificate.

import { randomUUID } from "node:crypto";

import { DESKTOP, Player, startBrowser } from "./stage.mjs";

const [url, picture] = process.argv.slice(2);
const browser = await startBrowser(`--host-resolver-rules=MAP ${new URL(url).hostname} 127.0.0.1`);
try {
  const player = await Player.enter(browser, { ...DESKTOP, ignoreHTTPSErrors: true });
  for (const shell of ["rust", "perl"]) {
    const game = await player.open(url);
    await game.start(shell);
    const word = randomUUID().slice(0, 8);
    // The player's book goes along from one game to the next.
    await game.type(`learn ${shell} echo hello $1`);
    await game.seesLine(`learned ${shell}`);
    await game.type(`cast ${shell} ${word}`);
    await game.seesLine(`hello ${word}`);
    await game.shoot(`${picture}-${shell}`);
    await game.type("exit");
    await game.state("ended");
    console.log(`played ${shell} at ${game.page.url()}`);
  }
  await player.leave();
} finally {
  await browser.close();
}
