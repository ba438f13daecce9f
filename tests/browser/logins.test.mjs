// Players who log in elsewhere: a token in a cookie starts a game, and logging out ends its terminal.

import assert from "node:assert/strict";
import { createHash, createHmac } from "node:crypto";
import { test } from "node:test";

import { Player, startBrowser, startServer } from "./stage.mjs";

const ADMIN_TOKEN = "the-operator-of-browser-tests";
const SECRET = "the-secret-of-the-portal-in-browser-tests";

/** A token for this player, good for an hour (RFC 7519, HS256). */
function tokenFor(subject) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + 3600;
  const message = `${part({ alg: "HS256", typ: "JWT" })}.${part({ sub: subject, exp })}`;
  return `${message}.${createHmac("sha256", SECRET).update(message).digest("base64url")}`;
}

test("a player logs in, plays, logs out, and comes back", async () => {
  const server = await startServer({ AUTH: "jwt", JWT_SECRET: SECRET, ADMIN_TOKEN });
  const browser = await startBrowser();
  const player = await Player.enter(browser);
  try {
    // The page of somebody who is not logged in asks for nothing that is refused.
    const landing = await player.open(server.url);
    await landing.page.waitForLoadState("networkidle");
    // The start without a login, and what the closed terminal's page asks then.
    player.expect(/status of 401/);
    await landing.page.locator("#start-button").click();
    await landing.page.locator("#message").getByText(/log in/i).waitFor();
    await landing.shoot("landing-login");

    // The portal's script, on the page's own origin.
    const logIn = () =>
      landing.page.evaluate(
        (token) => fetch("/login", { method: "POST", headers: { Authorization: `Bearer ${token}` } }).then((r) => r.status),
        tokenFor("anna"),
      );
    assert.equal(await logIn(), 204);
    const game = await player.open(server.url);
    await game.start("rust");
    await game.type("echo logged in");
    await game.seesLine("logged in");

    await landing.page.reload();
    await landing.page.getByRole("link", { name: /^Continue/ }).waitFor();
    await landing.page.getByRole("button", { name: "Log out" }).click();
    await landing.page.getByText("You have logged out.").waitFor();
    assert.equal(await landing.page.getByRole("link", { name: /^Continue/ }).count(), 0);
    await game.state("ended");
    await game.page.getByText(/You have logged out, or your login has ended/).first().waitFor();

    // The same player again: the game is still there.
    assert.equal(await logIn(), 204);
    await landing.page.reload();
    await landing.page.getByRole("link", { name: /^Continue/ }).click();
    await landing.sees("logged in");

    // An operator revokes the login: the terminal closes, and the token is worth nothing.
    const name = `jwt-${createHash("sha256").update("anna").digest("hex")}`;
    const revoked = await fetch(new URL(`/admin/revoked/${name}`, server.url), {
      method: "PUT",
      headers: { Authorization: `Bearer ${ADMIN_TOKEN}` },
    });
    assert.equal(revoked.status, 200);
    await landing.state("ended");
    assert.equal(await logIn(), 401);
    await landing.shoot("terminal-revoked");
  } finally {
    await player.leave();
    await browser.close();
    await server.stop();
  }
});
