import { expect, test } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { TurnShare } from "./turn-share.ts";

/** Asks for all amounts at once; which of them were granted in each turn that followed. */
async function grantsByTurn(amountPerTurn: number, amounts: readonly number[]) {
  const clock = new ManualClock();
  const byTurn: number[][] = [[]];
  const turns = new TurnShare(
    {
      sleep: async (delayMs) => {
        await clock.sleep(delayMs);
        byTurn.push([]);
      },
    },
    amountPerTurn,
  );
  const asked = amounts.map(async (amount) => {
    await turns.take(amount);
    byTurn.at(-1)?.push(amount);
  });
  await clock.advance(0);
  await Promise.all(asked);
  return { byTurn, timers: clock.timerCount };
}

test.each([
  { of: "nothing", amounts: [], byTurn: [[]] },
  { of: "less than a turn's amount", amounts: [4, 5], byTurn: [[4, 5]] },
  { of: "exactly one turn's amount", amounts: [4, 6], byTurn: [[4, 6]] },
  { of: "more", amounts: [4, 6, 1, 9, 2], byTurn: [[4, 6], [1, 9], [2]] },
  { of: "work larger than a turn", amounts: [25, 1, 30, 2], byTurn: [[25], [1, 30], [2]] },
])(
  "$of is granted in the order of asking, a bounded amount a turn",
  async ({ amounts, byTurn }) => {
    expect(await grantsByTurn(10, amounts)).toEqual({ byTurn, timers: 0 });
  },
);
