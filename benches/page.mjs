// How long a player waits from the click on "Start a game" to the prompt, with a slow network and a slow processor.
//
// The real server with a container in stock, the real Engine, a real Chromium with a processor four times slower, and
// between them a network of 400 kbit/s each way and 400 ms there and back, which every connection pays for its handshake
// as well (what WebPageTest calls "3G Slow"). Beside it the same without either, in turns.

import { writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

import { Player, startBrowser, startServer, until } from "../tests/browser/stage.mjs";

const ROUNDS = 5;
const SLOW = { bytesPerSecond: 50_000, roundTripMs: 400, processor: 4 };
const BAR_MS = 2500;

/** A relay whose connections share a wire of so many bytes a second each way, and are so far away. */
async function network(serverUrl, { bytesPerSecond, roundTripMs }) {
  const { port } = new URL(serverUrl);
  const free = { toPage: 0, toServer: 0 };
  const server = createServer((near) => {
    const far = connect(Number(port), "127.0.0.1");
    const opened = Date.now() + roundTripMs;
    for (const socket of [near, far]) {
      socket.setNoDelay(true);
      socket.on("error", () => {}); // Whoever ends it, both ends end.
    }
    const pass = (from, to, way) => {
      let last = Promise.resolve();
      const later = (at, act) => (last = last.then(() => pause(Math.max(0, at - Date.now()))).then(act));
      from.on("data", (chunk) => {
        // In packets: what fits into one is there before the next.
        for (let at = 0; at < chunk.length; at += 1400) {
          const packet = chunk.subarray(at, at + 1400);
          free[way] = Math.max(free[way], Date.now(), opened) + (packet.length * 1000) / bytesPerSecond;
          later(free[way] + roundTripMs / 2, () => to.write(packet));
        }
      });
      // Behind all that is still under way.
      from.on("end", () => later(free[way] + roundTripMs / 2, () => to.end()));
      from.on("close", () => later(free[way] + roundTripMs / 2, () => to.destroySoon()));
    };
    pass(near, far, "toServer");
    pass(far, near, "toPage");
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, stop: () => server.close() };
}

/** Milliseconds from the click to the prompt: of who has read the start page, or of who has not waited for anything. */
async function clickToPrompt(browser, url, { processor, isPatient }) {
  const player = await Player.enter(browser);
  const game = await player.open(url);
  const cdp = await player.context.newCDPSession(game.page);
  await cdp.send("Emulation.setCPUThrottlingRate", { rate: processor });
  if (isPatient) {
    const hasScripts = () => {
      const names = performance.getEntriesByType("resource").map(({ name }) => name);
      return ["/early.js", "/terminal.js"].every((script) => names.some((name) => name.includes(script)));
    };
    await until("the game's scripts", () => game.page.evaluate(hasScripts));
  }
  // A click as a hand makes it: Playwright's looks around before, which takes a slow page a quarter of a second.
  const button = await game.page.locator("#start-button").boundingBox();
  const point = { x: button.x + button.width / 2, y: button.y + button.height / 2, button: "left", clickCount: 1 };
  await cdp.send("Input.dispatchMouseEvent", { ...point, type: "mousePressed" });
  const clicked = performance.now();
  const click = cdp.send("Input.dispatchMouseEvent", { ...point, type: "mouseReleased" });
  await game.page.waitForURL("**/session/*/connect", { waitUntil: "commit" });
  await game.sees(" ~ $ ");
  const waited = performance.now() - clicked;
  await click;
  await game.page.evaluate(() => document.querySelector("#end")?.click());
  await player.context.close();
  return waited;
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

const server = await startServer({ POOL_SIZE: "4" });
const browser = await startBrowser();
const slow = await network(server.url, SLOW);
const found = { quick: [], slow: [], slowAtOnce: [] };
try {
  for (let round = 0; round < ROUNDS; round += 1) {
    found.quick.push(await clickToPrompt(browser, server.url, { processor: 1, isPatient: true }));
    found.slow.push(await clickToPrompt(browser, slow.url, { processor: SLOW.processor, isPatient: true }));
    found.slowAtOnce.push(await clickToPrompt(browser, slow.url, { processor: SLOW.processor, isPatient: false }));
  }
} finally {
  await browser.close();
  slow.stop();
  await server.stop();
}
const seconds = Object.fromEntries(Object.entries(found).map(([name, values]) => [name, median(values) / 1000]));
const isMet = seconds.slow * 1000 <= BAR_MS;
console.log("click to prompt, median of %d, in seconds:", ROUNDS);
console.log("  this machine                          %s", seconds.quick.toFixed(2));
console.log("  slow network and processor            %s   ≤ 2.5 %s", seconds.slow.toFixed(2), isMet ? "met" : "MISSED");
console.log("  the same, clicked without reading     %s", seconds.slowAtOnce.toFixed(2));
writeFileSync(new URL("../target/bench-page.json", import.meta.url), `${JSON.stringify({ found, seconds }, null, 1)}\n`);
