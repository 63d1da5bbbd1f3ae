/** How much of a slice is taken up in one turn of the event loop. */
import { expect, test } from "vitest";
import { SliceFixture } from "./node-fixture.ts";

const hostsCount = 1_500;
/** Hosts are decoded and given to the pusher: each counts twice against 400, and a partition is whole. */
const hostsPerTurnMax = 450;

/** Hosts given to the pusher in each turn while `work` goes on. */
async function countByTurn(fixture: SliceFixture, work: () => Promise<void>): Promise<number[]> {
  const { calls } = fixture.pusher;
  const sleep = fixture.clock.sleep.bind(fixture.clock);
  const counts: number[] = [];
  let before = calls.length;
  const endTurn = () => {
    counts.push(calls.length - before);
    before = calls.length;
  };
  fixture.clock.sleep = async (...asked) => {
    await sleep(...asked);
    endTurn();
  };
  const working = work();
  await fixture.clock.advance(0);
  await working;
  endTurn();
  return counts;
}

async function large(): Promise<SliceFixture> {
  const fixture = new SliceFixture();
  for (let index = 0; index < hostsCount; index++) await fixture.put(`host-${index}`);
  await fixture.slice.refreshFleet();
  return fixture;
}

test("many partitions that are read at the same moment are taken up over many turns", async () => {
  const fixture = await large();
  const counts = await countByTurn(fixture, () => fixture.adopt(1, "a"));
  expect(counts.reduce((sum, count) => sum + count)).toBe(hostsCount);
  expect(Math.max(...counts)).toBeLessThanOrEqual(hostsPerTurnMax);
  expect(counts.length).toBeGreaterThanOrEqual((2 * hostsCount) / 400 - 1);
  expect(fixture.reports).toEqual([`1:${hostsCount}`]);
  expect(fixture.clock.timerCount).toBe(0);
});
