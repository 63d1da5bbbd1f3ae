/** Store faults for the inventory's tests: a call that fails, or one whose answer is lost. */
import { CoxswainError } from "../kernel/errors.ts";
import type { StoreCall, StoreFaults } from "../store/memory-store.ts";
import type { Key } from "../store/store.ts";

type Pick = (call: StoreCall, key: Key) => boolean;

/** The first `times` calls that `pick` chooses take effect, but nobody hears of it. */
export function loseAnswers(pick: Pick, times: number): StoreFaults {
  let left = times;
  return {
    after(call, key) {
      if (!pick(call, key) || left === 0) return;
      left--;
      throw new Error("the answer was lost");
    },
  };
}

/** The first `times` calls that `pick` chooses fail without effect, after `skip` that go well. */
export function failCalls(pick: Pick, times: number, skip = 0): StoreFaults {
  let seen = 0;
  return {
    before(call, key) {
      if (!pick(call, key)) return;
      seen++;
      if (seen <= skip || seen > skip + times) return;
      throw new CoxswainError("STORE_UNAVAILABLE", "the store is away");
    },
  };
}

/** Runs `act` once, just before the first call that `pick` chooses takes effect. */
export function interleave(pick: Pick, act: () => Promise<void>): StoreFaults {
  let isDone = false;
  return {
    async before(call, key) {
      if (isDone || !pick(call, key)) return;
      isDone = true;
      await act();
    },
  };
}
