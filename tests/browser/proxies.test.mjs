// Through TLS: nginx, Caddy, HAProxy and Traefik as `templates/deploy` has them, with a certificate that nobody vouches for; and below
// a path of somebody else's site.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { get } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { DESKTOP, ownAddress, Player, startBrowser, startServer, until } from "./stage.mjs";

const ADMIN_TOKEN = "the-operator-of-browser-tests";
const VISITOR = { ...DESKTOP, ignoreHTTPSErrors: true };

/** Puts something of the test's own in the place of each of these; they must be there. */
function swap(text, swaps) {
  return Object.entries(swaps).reduce((text, [theirs, ours]) => {
    assert.ok(text.includes(theirs), `no ${theirs} in:\n${text}`);
    return text.replaceAll(theirs, ours);
  }, text);
}

/** How each is started: its configuration, made of the operators' file, and its command, in a folder of its own. */
const PROXIES = {
  nginx: {
    file: "nginx.conf",
    command: ["/usr/sbin/nginx", "-p", ".", "-c", "nginx.conf", "-e", "stderr"],
    config: (text, { host, port }) =>
      "daemon off; master_process off; pid nginx.pid; events {} http { access_log off; client_body_temp_path body; " +
      "proxy_temp_path proxy; fastcgi_temp_path fastcgi; scgi_temp_path scgi; uwsgi_temp_path uwsgi;\n" +
      swap(text, {
        "listen 443 ssl http2;": `listen ${host}:${port} ssl http2;`,
        "listen 80;": `listen ${host}:18081;`,
        "/etc/letsencrypt/live/play.example.org/fullchain.pem": "cert.pem",
        "/etc/letsencrypt/live/play.example.org/privkey.pem": "key.pem",
      }) +
      "}\n",
  },
  caddy: {
    file: "Caddyfile",
    command: ["caddy", "run", "--adapter", "caddyfile", "--config", "Caddyfile"],
    config: (text, { host, port }) =>
      "{\n\tadmin off\n\tauto_https disable_redirects\n}\n" +
      swap(text, { "play.example.org {\n": `https://${host}:${port} {\n\tbind ${host}\n\ttls cert.pem key.pem\n` }),
  },
  haproxy: {
    file: "haproxy.cfg",
    command: ["/usr/sbin/haproxy", "-db", "-f", "haproxy.cfg"],
    config: (text, { host, port }) =>
      swap(text, {
        "bind :80\n": `bind ${host}:18081\n`,
        "bind :443": `bind ${host}:${port}`,
        "/etc/haproxy/certs/play.example.org.pem": "both.pem",
      }),
  },
  traefik: {
    file: "traefik.yml",
    command: [fileURLToPath(new URL("../../target/python/bin/traefik", import.meta.url)), "--configFile=static.yml"],
    // With a certificate that is there already, in place of one that is fetched.
    config: (text, { host }) =>
      swap(text, {
        "Host(`play.example.org`)": `Host(\`${host}\`)`,
        "tls:\n        certResolver: letsencrypt\n": "tls: {}\n",
      }) + "tls:\n  stores:\n    default:\n      defaultCertificate: { certFile: cert.pem, keyFile: key.pem }\n",
    /** What it is told before that: where to listen, and where the rest is. */
    more: ({ host, port }) => ({
      "static.yml":
        `entryPoints: { websecure: { address: "${host}:${port}" } }\n` +
        "providers: { file: { filename: traefik.yml } }\nglobal: { checkNewVersion: false, sendAnonymousUsage: false }\n",
    }),
  },
};

/** Where a proxy will be. */
function place() {
  return { host: ownAddress().BIND, port: 18443 };
}

/** Whether it leads to the server by now: Traefik listens before it has read its routes. */
const isOpen = ({ host, port }, path) =>
  new Promise((resolve) => {
    const question = get({ host, port, path: `${path}healthz`, rejectUnauthorized: false, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    question.once("error", () => resolve(false));
  });

/** The operators' file, changed as it says itself for a server below a path. */
function belowPath(text) {
  const changed = text.replace(/this in place of the next line:\n((?:\s*#.*\n)+).*\n/, (_, lines) => `\n${lines.replace(/^(\s*)#/gm, "$1")}`);
  assert.notEqual(changed, text, "it says how");
  return changed;
}

/** Starts a proxy of that name, before the server at `upstream`. */
async function startProxy(name, at, path, upstream) {
  const { file, command, config, more = () => ({}) } = PROXIES[name];
  const change = path === "/" ? (text) => text : belowPath;
  const home = mkdtempSync(join(tmpdir(), `shellcraft-${name}-`));
  const inHome = { cwd: home, env: { ...process.env, HOME: home } };
  execFileSync(
    "openssl",
    ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${at.host}`]
      .concat(["-addext", `subjectAltName=IP:${at.host}`, "-keyout", "key.pem", "-out", "cert.pem"]),
    { ...inHome, stdio: "ignore" },
  );
  writeFileSync(join(home, "both.pem"), ["cert.pem", "key.pem"].map((part) => readFileSync(join(home, part), "utf8")).join(""));
  const text = readFileSync(fileURLToPath(new URL(`../../templates/deploy/${file}`, import.meta.url)), "utf8");
  for (const [file, text] of Object.entries(more(at))) writeFileSync(join(home, file), text);
  writeFileSync(join(home, file), config(change(swap(text, { "127.0.0.1:8080": new URL(upstream).host })), at));
  const child = spawn(command[0], command.slice(1), { ...inHome, stdio: ["ignore", "ignore", "pipe"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  let said = "";
  child.stderr.on("data", (chunk) => (said += chunk));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const stop = async () => {
    kill();
    await ended;
    process.removeListener("exit", kill);
    rmSync(home, { recursive: true });
  };
  await until(`${name} to listen`, () => {
    assert.equal(child.exitCode, null, `${name} ended:\n${said}`);
    return isOpen(at, path);
  }).catch(async (error) => {
    await stop();
    throw error;
  });
  return { stop };
}

/** A server that players find at `path` of the proxy, and a browser. */
async function onStage(name, path, play) {
  const at = place();
  const url = `https://${at.host}:${at.port}${path}`;
  const server = await startServer({ ADMIN_TOKEN, TRUSTED_PROXIES: "127.0.0.1", PUBLIC_URL: url });
  try {
    const proxy = await startProxy(name, at, path, server.url);
    try {
      const browser = await startBrowser();
      try {
        await play(url, browser);
      } finally {
        await browser.close();
      }
    } finally {
      await proxy.stop();
    }
  } finally {
    await server.stop();
  }
}

for (const name of Object.keys(PROXIES)) {
  test(`a game over TLS through ${name}`, () =>
    onStage(name, "/", async (url, browser) => {
      const player = await Player.enter(browser, VISITOR);
      const game = await player.open(url);
      await game.start("rust");
      await game.type("echo over TLS");
      await game.seesLine("over TLS");
      await game.page.reload();
      await game.seesLine("over TLS");
      await player.leave();
    }));

  test(`a game below a path through ${name}`, () =>
    onStage(name, "/shell/", async (url, browser) => {
      const player = await Player.enter(browser, VISITOR);
      const asked = [];
      player.context.on("page", (page) => {
        page.on("request", (request) => asked.push(request.url()));
        page.on("websocket", (socket) => asked.push(socket.url().replace(/^ws/, "http")));
      });
      // The operator's page asks before anybody has logged in; that of the game that was ended, what became of it.
      player.expect(/status of 4(01|04|10)/);
      const game = await player.open(url);
      await game.start("rust");
      assert.ok(game.page.url().startsWith(`${url}session/`), game.page.url());
      await game.type("echo below a path");
      await game.seesLine("below a path");
      await game.page.reload();
      await game.seesLine("below a path");

      // By the game's own link to the start page, which knows it and leads back.
      await game.page.locator("a.home").click();
      await game.page.waitForURL(url);
      await game.page.getByRole("link", { name: /^Continue/ }).click();
      await game.seesLine("below a path");

      const spectator = await Player.enter(browser, VISITOR);
      await game.page.getByRole("button", { name: "Share and record" }).click();
      await game.page.getByRole("button", { name: "Make a watch link" }).click();
      await game.page.getByLabel("Watch link").waitFor();
      const link = await game.page.getByLabel("Watch link").inputValue();
      assert.ok(link.startsWith(`${url}watch/`), link);
      const watched = await spectator.open(link);
      await watched.seesLine("below a path");
      await spectator.leave();

      const desk = (await player.open(`${url}admin`)).page;
      await desk.locator("#token").fill(ADMIN_TOKEN);
      await desk.keyboard.press("Enter");
      await desk.locator("#games tr").getByText("running", { exact: true }).waitFor();
      const names = (await player.context.cookies()).map((cookie) => `${cookie.name} ${cookie.path}`).sort();
      assert.deepEqual(names, ["__Host-shellcraft_admin.shell /", "__Host-shellcraft_player.shell /"]);

      // It is ended where it was begun.
      const start = await player.open(url);
      await start.page.getByRole("button", { name: /^(End|Really end) / }).click();
      await start.page.getByRole("button", { name: /^(End|Really end) / }).click();
      await game.state("ended");
      await game.page.getByRole("link", { name: "Back to the start", exact: true }).click();
      await game.page.waitForURL(url);
      const missing = await player.open(`${url}session/nothing/connect`);
      await missing.page.getByRole("link", { name: "Back to the start", exact: true }).click();
      await missing.page.waitForURL(url);
      assert.deepEqual(asked.filter((address) => !address.startsWith(url)), [], "what was asked for elsewhere on that host");
      await player.leave();
    }));
}
