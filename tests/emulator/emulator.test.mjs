// Whether a page that comes back late sees what it would have seen: what the server's emulator has it draw, and then the rest
// of the output, leaves xterm.js in the very state of one that has drawn everything.
//
// Needs static/node_modules and `cargo build --example redraw`. FROM and COUNT take other random ones, EMULATOR_SECONDS as many
// as there is time for, TELL tells more of those that failed.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { dice, randomCase } from "./dice.mjs";
import { MODES, QUESTIONS } from "./questions.mjs";
import { answer, bytesOf, Redraws, restore } from "./restore.mjs";
import { COLS, record, ROWS } from "./sessions.mjs";
import { BYTES, STREAMS } from "./streams.mjs";

const FROM = Number(process.env.FROM ?? 1);
const COUNT = Number(process.env.COUNT ?? 500);
const SECONDS = Number(process.env.EMULATOR_SECONDS ?? 0);
/** Places at which a recorded session is cut. */
const CUTS = 12;

/** So many at once: a write to xterm.js is a timer, and most of the time one would wait for the next. */
const AT_ONCE = 16;

let redraws;

before(() => (redraws = new Redraws()));
after(() => redraws?.end());

/** How many were restored, and the first few that were not. */
class Tally {
  constructor(name) {
    Object.assign(this, { name, count: 0, screen: 0, all: 0, failed: [] });
  }

  /** Tries all of a list of `{ what, output, place }`. */
  async try(cuts) {
    for (let start = 0; start < cuts.length; start += AT_ONCE) {
      const some = cuts.slice(start, start + AT_ONCE);
      const outcomes = await Promise.all(some.map(({ output, place }) => restore(redraws, output, place)));
      outcomes.forEach((outcome, index) => this._add(some[index].what, outcome));
    }
  }

  _add(what, outcome) {
    this.count += 1;
    if (outcome.screen) this.screen += 1;
    if (outcome.all) this.all += 1;
    else this.failed.push(`${what}: ${outcome.why}`);
  }

  /** Tells the figures, and fails below the bars. */
  end(context, bars) {
    const percent = (number) => (100 * number) / this.count;
    const figures = `${this.name}: of ${this.count} cuts ${percent(this.screen).toFixed(1)} % show the same after the rest, ${percent(this.all).toFixed(1)} % after all probes too`;
    context.diagnostic(figures);
    this.failed.slice(0, Number(process.env.TELL ?? 5)).forEach((line) => context.diagnostic(line));
    assert.ok(this.count > 0, "nothing was tried");
    assert.ok(percent(this.screen) >= bars.screen && percent(this.all) >= bars.all, `${figures}\n${this.failed.slice(0, 5).join("\n")}`);
  }
}

test("streams for every mode are restored", async (context) => {
  const tally = new Tally("hand-made");
  for (const [number, [name, ...parts]] of [...STREAMS, ...BYTES].entries()) {
    const steps = [Buffer.concat(parts.map((part) => Buffer.from(part)))];
    const whole = bytesOf(steps);
    const below = dice(number + 1);
    const places = new Set([whole, below(whole + 1), below(whole + 1), below(whole + 1)]);
    parts.reduce((place, part) => {
      places.add(place);
      return place + Buffer.from(part).length;
    }, 0);
    const output = { cols: 20, rows: 5, steps };
    await tally.try([...places].map((place) => ({ what: `${name}, cut at ${place}`, output, place })));
  }
  tally.end(context, { screen: 99, all: 99 });
});

test("sessions of real programs are restored", async (context) => {
  const tally = new Tally("recorded");
  const sessions = await record();
  context.diagnostic(sessions.map(({ name, output }) => `${name} ${output.length}`).join(", "));
  for (const [number, { name, output }] of sessions.entries()) {
    assert.ok(output.length > 1000, `${name} has written ${output.length} bytes: ${JSON.stringify(output.toString())}`);
    const below = dice(number + 1);
    const places = Array.from({ length: CUTS }, () => below(output.length));
    const whole = { cols: COLS, rows: ROWS, steps: [output] };
    await tally.try(places.map((place) => ({ what: `${name}, cut at ${place}`, output: whole, place })));
  }
  tally.end(context, { screen: 100, all: 97 });
});

test("random output with resizes is restored", async (context) => {
  const tally = new Tally("random");
  const cut = (seed) => {
    const { place, ...output } = randomCase(seed);
    return { what: `seed ${seed}`, output, place: place(bytesOf(output.steps)) };
  };
  const end = Date.now() + 1000 * SECONDS;
  let from = FROM;
  do {
    await tally.try(Array.from({ length: COUNT }, (_, index) => cut(from + index)));
    from += COUNT;
  } while (Date.now() < end);
  tally.end(context, { screen: 95, all: 95 });
});

test("what a program asks is answered as the page answers it", async () => {
  const small = (steps) => ({ cols: 20, rows: 5, steps });
  const cases = [
    ...[...QUESTIONS, ...MODES].map((question) => ({ what: question, output: small([question]) })),
    ...STREAMS.map(([what, ...parts]) => ({ what, output: small([...parts, [...QUESTIONS, ...MODES].join("")]) })),
    ...Array.from({ length: 200 }, (_, index) => {
      const { cols, rows, steps } = randomCase(FROM + index);
      return { what: `seed ${FROM + index}`, output: { cols, rows, steps: [...steps, QUESTIONS.join("")] } };
    }),
  ];
  for (let start = 0; start < cases.length; start += AT_ONCE) {
    const some = cases.slice(start, start + AT_ONCE);
    const both = await Promise.all(some.map(({ output }) => answer(redraws, output)));
    both.forEach(({ page, server }, index) => assert.equal(server, page, JSON.stringify(some[index].what)));
  }
});
