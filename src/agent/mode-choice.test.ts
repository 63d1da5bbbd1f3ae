import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { ModeChoice, returnAfterDefaultMs, type ModeChange } from "./mode-choice.ts";

const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const fallbackAfterMs = [180 * secondMs, 30 * secondMs, 30 * secondMs];
const stepMs = 5 * secondMs;

/** Steps every 5 s; `isUp(mode, atMs)`: the mode proves just now that it works. */
function run(
  isUp: (mode: number, atMs: number) => boolean,
  untilMs: number,
  modes = fallbackAfterMs,
) {
  const choice = new ModeChoice({ fallbackAfterMs: modes, returnAfterMs: returnAfterDefaultMs }, 0);
  const worked: (number | undefined)[] = modes.map(() => undefined);
  const changes: (ModeChange & { readonly atMs: number; readonly runningCount: number })[] = [];
  let fewest = 1;
  let most = 1;
  for (let atMs = 0; atMs <= untilMs; atMs += stepMs) {
    for (let mode = 0; mode < choice.runningCount; mode++) {
      if (isUp(mode, atMs)) worked[mode] = atMs;
    }
    const change = choice.step(worked, atMs);
    if (change !== undefined) {
      changes.push({ ...change, atMs, runningCount: choice.runningCount });
    }
    fewest = Math.min(fewest, choice.runningCount);
    most = Math.max(most, choice.runningCount);
  }
  expect(fewest).toBe(1);
  expect(most).toBeLessThanOrEqual(modes.length);
  return { changes, choice };
}

const shown = ({ changes }: ReturnType<typeof run>) =>
  changes.map(({ kind, mode, atMs }) => `${kind} ${mode} ${atMs / secondMs}s`);

describe("the next mode starts", () => {
  it("never while the best works", () => {
    expect(shown(run((mode, atMs) => mode === 0 && atMs % minuteMs === 0, hourMs))).toEqual([]);
  });

  it("when all that run have been quiet for their time, one after the other", () => {
    expect(shown(run(() => false, hourMs))).toEqual(["fellBack 1 180s", "fellBack 2 210s"]);
  });

  it("no further down than to one that works", () => {
    expect(shown(run((mode) => mode === 1, hourMs))).toEqual(["fellBack 1 180s"]);
  });
});

describe("a worse mode stops", () => {
  it("when a better one has proved for two minutes that it works", () => {
    const healsMs = 10 * minuteMs;
    const isUp = (mode: number, atMs: number) =>
      mode === 1 || (atMs >= healsMs && atMs % minuteMs === 0);
    expect(shown(run(isUp, hourMs))).toEqual(["fellBack 1 180s", "returned 0 720s"]);
  });

  it("not for one proof, however long it counts", () => {
    expect(shown(run((mode, atMs) => mode === 1 || atMs === 10 * minuteMs, hourMs))).toEqual([
      "fellBack 1 180s",
    ]);
  });

  it("not for proofs with a gap between them", () => {
    const { changes } = run((mode, atMs) => mode === 1 || atMs % (4 * minuteMs) === 0, hourMs);
    expect(changes.some(({ kind }) => kind === "returned")).toBe(false);
  });

  it("when the second best has healed, though the best has not", () => {
    const shownChanges = shown(
      run((mode, atMs) => mode === 2 || (mode === 1 && atMs > 400 * secondMs), hourMs),
    );
    expect(shownChanges).toEqual(["fellBack 1 180s", "fellBack 2 210s", "returned 1 525s"]);
  });
});

it("two proofs between which nobody looked are a gap where they are far apart", () => {
  const choice = new ModeChoice({ fallbackAfterMs, returnAfterMs: 60 * secondMs }, 0);
  choice.step([undefined], 180 * secondMs);
  expect(choice.runningCount).toBe(2);
  choice.step([200 * secondMs, undefined], 200 * secondMs);
  // The machine slept.
  expect(choice.step([900 * secondMs, 900 * secondMs], 900 * secondMs)).toBeUndefined();
  expect(choice.step([960 * secondMs, 960 * secondMs], 960 * secondMs)).toMatchObject({
    kind: "returned",
  });
});

it("a mode that starts again is as quiet as its new start, however fresh its last proof is", () => {
  const longProof = [30 * secondMs, 660 * secondMs, 30 * secondMs];
  const modes = run(
    (mode, atMs) =>
      (mode === 0 && atMs >= 5 * minuteMs && atMs <= 8 * minuteMs) ||
      (mode === 1 && atMs < 7 * minuteMs) ||
      mode === 2,
    hourMs,
    longProof,
  );
  // At 7 min the best one is trusted, at 8.5 min it is gone; the second has 11 min from then on.
  expect(shown(modes)).toEqual([
    "fellBack 1 30s",
    "returned 0 420s",
    "fellBack 1 510s",
    "fellBack 2 1170s",
  ]);
});

it("a proof from before a driver was stopped says nothing about its next start", () => {
  const { changes } = run(
    (mode, atMs) =>
      (mode === 0 && atMs > 10 * minuteMs && atMs < 20 * minuteMs) ||
      (mode === 1 && atMs < minuteMs * 5),
    hourMs,
  );
  expect(changes.map(({ kind, mode }) => `${kind} ${mode}`)).toEqual([
    "fellBack 1",
    "fellBack 2",
    "returned 0",
    "fellBack 1",
    "fellBack 2",
  ]);
});

/** Times for which each mode is up and then down, in turn. */
const pattern = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 30 });

function timesOf(patterns: readonly (readonly number[])[]) {
  const steps = patterns.map((lengths) =>
    [...lengths, ...lengths].flatMap((length, index) => {
      return Array.from({ length }, () => index % 2 === 1);
    }),
  );
  return (mode: number, atMs: number) => {
    const own = steps[mode] ?? [];
    return own[(atMs / stepMs) % own.length] === true;
  };
}

it("does not flap, however the modes come and go: few switches in any hour", () => {
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 3, maxLength: 3 }), (patterns) => {
      const { changes } = run(timesOf(patterns), 8 * hourMs);
      for (const { atMs } of changes) {
        const hour = changes.filter((each) => each.atMs >= atMs && each.atMs < atMs + hourMs);
        const returned = hour.filter(({ kind }) => kind === "returned").length;
        expect(returned).toBeLessThanOrEqual(12);
        expect(hour.length).toBeLessThanOrEqual(2 * 12 + 2);
      }
    }),
    { numRuns: 60 },
  );
});

it("an adversary that is up just until it is trusted gets less often its way", () => {
  let downAtMs = -Infinity;
  const choice = new ModeChoice(
    { fallbackAfterMs: [30 * secondMs, 30 * secondMs], returnAfterMs: returnAfterDefaultMs },
    0,
  );
  let worked: number | undefined;
  let returns = 0;
  for (let atMs = 0; atMs <= 6 * hourMs; atMs += stepMs) {
    if (choice.runningCount === 2) worked = atMs;
    const change = choice.step([worked, atMs], atMs);
    if (change?.kind === "returned") {
      returns += 1;
      downAtMs = atMs;
    }
  }
  expect(downAtMs).toBeGreaterThan(0);
  expect(returns).toBeLessThanOrEqual(10);
  expect(choice.returnAfterMs).toBe(hourMs);
});

it("ends with the best alone once that works for good", () => {
  fc.assert(
    fc.property(fc.array(pattern, { minLength: 3, maxLength: 3 }), (patterns) => {
      const healsMs = 3 * hourMs;
      const isUp = timesOf(patterns);
      const { changes, choice } = run(
        (mode, atMs) => (mode === 0 && atMs >= healsMs) || isUp(mode, atMs),
        healsMs + hourMs + minuteMs,
      );
      expect(choice.runningCount).toBe(1);
      const after = changes.filter(({ atMs }) => atMs > healsMs + 180 * secondMs);
      expect(after.filter(({ kind }) => kind === "returned").length).toBeLessThanOrEqual(2);
    }),
    { numRuns: 60 },
  );
});
