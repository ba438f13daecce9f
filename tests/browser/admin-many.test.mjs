// The operator's page with as many games as it is made for: order, filter, focus, a phone, and what axe says of it.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";

import { DESKTOP, FakeEngine, Game, packages, PHONE, startBrowser, startServer, until } from "./stage.mjs";

const TOKEN = "the-operator-of-browser-tests";
const AXE = readFileSync(createRequire(packages).resolve("axe-core/axe.min.js"), "utf8");
const MANY = 200;
const MOST = 500;

const shoot = (page, name) => new Game(page).shoot(name);

let engine;
let server;
let browser;

before(async () => {
  engine = await FakeEngine.start();
  server = await startServer({ ADMIN_TOKEN: TOKEN, DOCKER_HOST: engine.url, MAX_SESSIONS: String(MOST) });
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  await server?.stop();
  await engine?.stop();
});

/** The operator's page, logged in; `prepare` is done before it asks for anything. */
async function enter(options, prepare = async () => {}) {
  const context = await browser.newContext(options);
  context.setDefaultTimeout(60_000);
  const page = await context.newPage();
  await prepare(page);
  await page.goto(`${server.url}admin`);
  await page.locator("#token").fill(TOKEN);
  await page.keyboard.press("Enter");
  await page.locator("#board").waitFor();
  return { context, page };
}

/** A game as the server tells of one; its figures change with each look. */
function row(index, look) {
  const id = randomUUIDs[index];
  return {
    session_id: id,
    log_name: createHash("sha256").update(id).digest("hex").slice(0, 8),
    shell: index % 5 === 0 ? "perl" : "rust",
    state: "running",
    age_seconds: 100 + index + 2 * look,
    idle_seconds: index % 60,
    memory_bytes: 1_000_000 + ((index * 7919 + look * 104_729) % 60_000_000),
    cpus: ((index + look) % 50) / 100,
    bytes_in: index,
    bytes_out: 1000 * index + look,
    viewers: index % 3,
    peer: `2001:db8:1234:5678:9abc:def0:1234:${index.toString(16)}`,
    player: `anon-${createHash("sha256").update(`player ${index}`).digest("hex")}`,
  };
}
const randomUUIDs = Array.from({ length: MOST }, () => randomUUID());

/** Tells the page of so many games in place of the server. Returns how often it has asked. */
async function pretend(page, count) {
  const asked = { looks: 0 };
  await page.route("**/sessions", (route) => {
    asked.looks += 1;
    const sessions = Array.from({ length: count }, (_, index) => row(index, asked.looks));
    return route.fulfill({ json: { sessions } });
  });
  await page.route("**/admin/health", async (route) => {
    const answer = await route.fetch();
    if (answer.status() !== 200) return route.fulfill({ response: answer });
    const wave = (top) => Array.from({ length: 60 }, (_, minute) => Math.round(top * (1 + Math.sin(minute / 6))));
    const history = { every_seconds: 60, sessions: wave(count / 2), queue: wave(6), output: wave(90_000) };
    const shells = [
      { name: "rust", ok: true, cause: null, backoff_seconds: null },
      { name: "perl", ok: false, cause: "image shellcraft/perl: it has no CMD", backoff_seconds: 29 },
    ];
    const quarantine = [
      {
        kind: "container", name: "0123456789ab", cause: "ContainerDelete: the Engine answered 500: device busy", failures: 3,
        retry_in_seconds: 5, failed_seconds_ago: 1,
      },
    ];
    return route.fulfill({ json: { ...(await answer.json()), sessions: count, history, shells, quarantine } });
  });
  return asked;
}

const cells = (page, title) => page.locator(`#games td[data-title="${title}"]`).allTextContents();

/** Waits until the page has shown what it was told twice more. */
async function twoUpdates(page) {
  for (let update = 0; update < 2; update += 1) {
    const before = await page.evaluate(() => performance.getEntriesByType("resource").length);
    const isAsked = async () => (await page.evaluate(() => performance.getEntriesByType("resource").length)) >= before + 2;
    await until("an update", isAsked);
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
  }
}

test(`an operator finds their way among ${MANY} games by keyboard, and ends them all`, async () => {
  const start = async (shell) => {
    const answer = await fetch(`${server.url}session`, { method: "POST", body: JSON.stringify({ shell }) });
    assert.equal(answer.status, 201);
  };
  const wanted = Array.from({ length: MANY }, (_, index) => (index % 4 === 0 ? "perl" : "rust"));
  await Promise.all(Array.from({ length: 8 }, async () => {
    for (let shell = wanted.pop(); shell !== undefined; shell = wanted.pop()) await start(shell);
  }));
  const { context, page } = await enter(DESKTOP);
  try {
    const rows = page.locator("#games tr");
    await until("all rows", async () => (await rows.count()) === MANY);
    await page.locator(".tile", { hasText: "Games" }).getByText(`${MANY} of ${MOST}`).waitFor();

    await page.getByRole("button", { name: "Game", exact: true }).press("Enter");
    const names = await cells(page, "Game");
    assert.deepEqual(names, [...names].sort());
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Game");
    await page.keyboard.press("Enter");
    assert.deepEqual(await cells(page, "Game"), [...names].reverse());
    assert.equal(await page.locator("th[aria-sort=descending]").textContent(), "Game");

    await page.locator("#filter").focus();
    await page.keyboard.type("perl");
    assert.equal(await rows.count(), MANY / 4);
    assert.deepEqual([...new Set(await cells(page, "Shell"))], ["perl"]);

    // What does not change is not touched, and the focus stays where it is.
    await page.evaluate(() => {
      globalThis.moved = 0;
      const body = document.querySelector("#games");
      new MutationObserver((changes) => (globalThis.moved += changes.length)).observe(body, { childList: true });
    });
    const middle = rows.nth(MANY / 8);
    const name = await middle.locator("td").first().textContent();
    await middle.getByRole("button", { name: /^Notice/ }).focus();
    const age = middle.locator("td[data-title=Age]");
    const before = await age.textContent();
    await twoUpdates(page);
    await until("another age", async () => (await age.textContent()) !== before);
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), `Notice ${name}`);
    assert.equal(await page.evaluate(() => globalThis.moved), 0);

    await page.locator("#filter").fill("");
    await shoot(page, "admin-200");
    await page.getByRole("button", { name: "End all…" }).press("Enter");
    await page.getByText("End all games?").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByText(`${MANY} games have ended.`).waitFor();
    await page.getByText("No games.").waitFor();
  } finally {
    await context.close();
  }
});

test(`${MOST} games are sorted and filtered, and the focus follows its row`, async () => {
  let asked;
  const { context, page } = await enter(DESKTOP, async (page) => (asked = await pretend(page, MOST)));
  try {
    const rows = page.locator("#games tr");
    await until("all rows", async () => (await rows.count()) === MOST);
    await shoot(page, "admin-500");
    // An hour and now.
    assert.equal((await page.locator(".tile polyline").first().getAttribute("points")).split(" ").length, 61);

    const aside = page.locator(".tile.bad", { hasText: "Set aside: container 0123456789ab" });
    assert.match(await aside.textContent(), /failed 3 times, again in .*device busy/);

    // An order that every update changes.
    await page.getByRole("button", { name: "Memory", exact: true }).press("Enter");
    const tenth = rows.nth(10);
    const id = await tenth.getAttribute("data-id");
    await tenth.getByRole("button", { name: /^End/ }).focus();
    const looks = asked.looks;
    await until("two more updates", () => asked.looks >= looks + 2);
    await twoUpdates(page);
    const focused = () => page.evaluate(() => document.activeElement.closest("tr")?.dataset.id);
    assert.equal(await focused(), id);
    const sizes = await page.evaluate(() =>
      [...document.querySelectorAll('#games td[data-title="Memory"]')].map(({ textContent }) => {
        const [number, unit] = textContent.split(" ");
        return Number(number) * { B: 1, KiB: 1024, MiB: 1024 ** 2 }[unit];
      }),
    );
    assert.deepEqual(sizes, [...sizes].sort((a, b) => a - b));

    const one = row(321, 0);
    await page.locator("#filter").fill(one.session_id);
    assert.equal(await rows.count(), 1);
    assert.equal(await rows.locator("td").first().textContent(), one.log_name);
    await page.locator("#filter").fill("nobody has this");
    await page.getByText("No games.").waitFor();
  } finally {
    await context.close();
  }
});

test(`a phone shows ${MOST} games without scrolling sideways`, async () => {
  const { context, page } = await enter(PHONE, (page) => pretend(page, MOST));
  try {
    await until("all rows", async () => (await page.locator("#games tr").count()) === MOST);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= PHONE.viewport.width, `${width} pixels wide`);
    await shoot(page, "admin-500-phone");
    await page.locator("#filter").fill("perl");
    assert.equal(await page.locator("#games tr").count(), MOST / 5);
    await page.locator("#games tr").nth(3).scrollIntoViewIfNeeded();
    await shoot(page, "admin-500-phone-rows");
  } finally {
    await context.close();
  }
});

/** What axe finds fault with, a line each. */
async function faults(page) {
  // Not a script tag, which the page's policy forbids.
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ["violations"] }));
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.target.join(" ")}: ${node.failureSummary}`));
}

for (const colorScheme of ["light", "dark"]) {
  for (const [kind, options] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    test(`axe finds nothing on a ${colorScheme} ${kind}`, async () => {
      const context = await browser.newContext({ ...options, colorScheme });
      context.setDefaultTimeout(60_000);
      try {
        const page = await context.newPage();
        await page.goto(server.url);
        await page.locator("#start-button").waitFor();
        assert.deepEqual(await faults(page), [], "the start page");

        await pretend(page, 12);
        await page.goto(`${server.url}admin`);
        await page.locator("#token").waitFor();
        assert.deepEqual(await faults(page), [], "the login");
        await page.locator("#token").fill(TOKEN);
        await page.keyboard.press("Enter");
        await page.locator("#games tr").first().waitFor();
        assert.deepEqual(await faults(page), [], "the board");
        for (const question of ["Drain…", "End all…"]) {
          await page.getByRole("button", { name: question }).press("Enter");
          assert.deepEqual(await faults(page), [], question);
          if (question === "Drain…") await shoot(page, `admin-axe-${colorScheme}-${kind}`);
          await page.keyboard.press("Escape");
        }
      } finally {
        await context.close();
      }
    });
  }
}
