import assert from "node:assert/strict";
import { test } from "node:test";

import { DrawingWatch } from "../src/page/drawing-watch";

/** A watch whose clock the test turns. */
class Stage {
  deaths = 0;
  private _now = 0;
  private _timers: Array<{ at: number; run: () => void }> = [];

  readonly watch = new DrawingWatch(
    (ms, run) => {
      const timer = { at: this._now + ms, run };
      this._timers.push(timer);
      return () => (this._timers = this._timers.filter((other) => other !== timer));
    },
    () => (this.deaths += 1),
  );

  get timers(): number {
    return this._timers.length;
  }

  pass(ms: number): void {
    this._now += ms;
    for (let due = this._next(); due !== undefined; due = this._next()) {
      this._timers = this._timers.filter((other) => other !== due);
      due.run();
    }
  }

  private _next(): { at: number; run: () => void } | undefined {
    return this._timers.find(({ at }) => at <= this._now);
  }
}

test("a terminal that calls nobody back for five seconds is dead, and is so once", () => {
  const stage = new Stage();
  stage.watch.begin();
  stage.watch.begin();
  stage.pass(2_500);
  assert.equal(stage.deaths, 0);
  stage.pass(2_500);
  assert.equal(stage.deaths, 1);
  stage.pass(60_000);
  assert.equal(stage.deaths, 1);
});

test("a slow terminal is not dead, and a quiet one costs no timers", () => {
  const stage = new Stage();
  const writes = Array.from({ length: 10 }, () => stage.watch.begin());
  for (const drawn of writes) {
    stage.pass(4_000);
    drawn();
  }
  assert.equal(stage.timers, 0);
  stage.pass(60_000);
  assert.equal(stage.deaths, 0);
});

test("a computer that slept is given another look", () => {
  const stage = new Stage();
  const drawn = stage.watch.begin();
  stage.pass(3_600_000);
  drawn();
  assert.equal(stage.deaths, 0);
  assert.equal(stage.timers, 0);
});

test("after an error on the page it is looked at soon", () => {
  const stage = new Stage();
  stage.watch.suspect();
  assert.equal(stage.timers, 0);
  stage.watch.begin();
  stage.watch.suspect();
  stage.pass(250);
  stage.pass(250);
  assert.equal(stage.deaths, 1);
});

test("what is disposed of is watched no more", () => {
  const stage = new Stage();
  stage.watch.begin();
  stage.watch.dispose();
  stage.pass(60_000);
  assert.equal(stage.deaths, 0);
});
