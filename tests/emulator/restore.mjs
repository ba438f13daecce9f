// Cuts an output somewhere, draws what the server would have a page draw then, goes on with the rest, and compares that with
// a terminal that has seen everything.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { difference, Screen, top } from "./screens.mjs";

/** What shows the state that cannot be seen. Each goes on where the one before it ended. */
const PROBES = [
  "P",
  "\x1b[3b",
  "\x1b8S",
  "\tT\x1b[Zt",
  "\x1b[H\x1bMR",
  "\x1b[99;99H\nL\n\nM",
  "\x0eo\x0fi\x1bnn\x1boo\x0f",
  "\x1b[4;4H\x1b[2@\x1b[1Jq",
  "\x1b[6n\x1b[?6n\x1b[4$p\x1b[?7$p\x1bP$qr\x1b\\\x1bP$qm\x1b\\\x1bP$q q\x1b\\",
  "abcdefghijklmnopqrstuvwxyz0123456789".repeat(3),
  `\x1b[?47l\x1b8A\x1b[Hhome${"\n".repeat(26)}end`,
];

/** The server's emulator, in a process that takes one case after the other. */
export class Redraws {
  constructor() {
    const path = join(top, "target", "debug", "examples", "redraw");
    if (!existsSync(path)) throw new Error("cargo build --example redraw, please");
    this._process = spawn(path, { stdio: ["pipe", "pipe", "inherit"] });
    this._waiting = [];
    createInterface({ input: this._process.stdout }).on("line", (line) => this._waiting.shift()(JSON.parse(line)));
    this._process.on("exit", () => this._waiting.forEach((answer) => answer({ redraw: "", bytes: 0, panics: 1 })));
  }

  /** What draws a terminal that has gone through these steps: bytes, or pairs for sizes. */
  of(cols, rows, steps) {
    const coded = steps.map((step) => (Array.isArray(step) ? step : Buffer.from(step).toString("base64")));
    this._process.stdin.write(`${JSON.stringify({ cols, rows, steps: coded })}\n`);
    return new Promise((resolve) => this._waiting.push(resolve));
  }

  async end() {
    this._process.stdin.end();
    if (this._process.exitCode === null) await once(this._process, "exit");
  }
}

/** Steps of output before and after a place, which is the number of bytes before it. */
export function cutAt(steps, place) {
  const [before, after] = [[], []];
  let left = place;
  for (const step of steps) {
    if (Array.isArray(step)) {
      (left > 0 ? before : after).push(step);
      continue;
    }
    const bytes = Buffer.from(step);
    if (left > 0) before.push(bytes.subarray(0, left));
    if (left < bytes.length) after.push(bytes.subarray(Math.max(left, 0)));
    left -= bytes.length;
  }
  return { before, after };
}

/** Bytes of output in these steps. */
export const bytesOf = (steps) => steps.reduce((sum, step) => sum + (Array.isArray(step) ? 0 : Buffer.from(step).length), 0);

/** What the page and the server answer to what is asked in an output. */
export async function answer(redraws, { cols, rows, steps }) {
  const screen = new Screen(cols, rows);
  await screen.playAll(steps);
  const page = screen.answers;
  screen.dispose();
  const { answers } = await redraws.of(cols, rows, steps);
  return { page, server: Buffer.from(answers, "base64").toString() };
}

/**
 * Whether a terminal cut there is restored: what is seen after the rest (`screen`), and after each probe too (`all`). `why` is
 * the first difference.
 */
export async function restore(redraws, { cols, rows, steps }, place) {
  const { before, after } = cutAt(steps, place);
  const { redraw, panics } = await redraws.of(cols, rows, before);
  const size = before.filter(Array.isArray).at(-1) ?? [cols, rows];
  const uncut = new Screen(cols, rows);
  const restored = new Screen(...size);
  await uncut.playAll([...before, ...after]);
  await restored.playAll([Buffer.from(redraw, "base64"), ...after]);
  const outcome = { screen: false, all: false, why: "" };
  const isSame = (when) => {
    const [lines] = [difference(uncut.look(), restored.look())];
    if (lines.length > 0) outcome.why = `${when}:\n${lines.slice(0, 3).join("\n")}`;
    return lines.length === 0;
  };
  if (panics > 0) outcome.why = "the emulator panicked";
  else if (isSame("after the rest")) {
    outcome.screen = true;
    outcome.all = await bothAnswer(uncut, restored, isSame, outcome);
  }
  uncut.dispose();
  restored.dispose();
  return outcome;
}

async function bothAnswer(uncut, restored, isSame, outcome) {
  uncut.answers = restored.answers = "";
  for (const probe of PROBES) {
    await uncut.play(probe);
    await restored.play(probe);
    if (!isSame(`after the probe ${JSON.stringify(probe)}`)) return false;
  }
  if (uncut.answers === restored.answers) return true;
  outcome.why = `answers: wanted ${JSON.stringify(uncut.answers)}, got ${JSON.stringify(restored.answers)}`;
  return false;
}
