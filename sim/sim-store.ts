/**
 * The store as one node reaches it: one shared MemoryStore behind a link that can fail.
 *
 * A call takes effect at one instant, half a round trip after it was made, even when its caller has
 * given up: late writes land. A call without an answer ends after the adapter's timeout, a read as
 * STORE_UNAVAILABLE and a write as `unknown`, like the DynamoDB adapter's. Reads are strong; an old
 * answer can only be a slow one.
 */
import { CoxswainError } from "../src/kernel/errors.ts";
import type { MemoryStore } from "../src/store/memory-store.ts";
import type { Key, Store, StoreCall, WriteOutcome } from "../src/store/store.ts";
import type { Dice } from "./dice.ts";
import type { Network } from "./network.ts";
import type { ProcessClock } from "./process-clock.ts";
import type { Timeline } from "./timeline.ts";

/** What the store does to calls, at this moment; shared by all nodes. */
export interface StoreTrouble {
  /** Nothing is answered; nothing takes effect. */
  isDown: boolean;
  /** Answers at once that it is unavailable. */
  isRefusing: boolean;
  throttledRatio: number;
  unavailableRatio: number;
  /** Writes that land and are answered by nothing. */
  unknownRatio: number;
  slowRatio: number;
}

export const calmStore: Readonly<StoreTrouble> = {
  isDown: false,
  isRefusing: false,
  throttledRatio: 0,
  unavailableRatio: 0,
  unknownRatio: 0,
  slowRatio: 0,
};

export interface SimStorePorts {
  readonly inner: MemoryStore;
  readonly timeline: Timeline;
  readonly network: Network;
  readonly trouble: StoreTrouble;
  readonly dice: Dice;
  /** A call from `slot` that was lost, late or refused. */
  readonly onTrouble: (slot: string, isCut: boolean) => void;
  /** Called right after a write took effect; `isLate`: its caller had given it up. */
  readonly onWritten: (key: Key, isLate: boolean) => void;
}

const timeoutMs = 2_000;
type Answer<T> = { readonly value: T } | { readonly error: unknown };

export class SimStore implements Store {
  readonly #ports: SimStorePorts;
  readonly #slot: string;
  readonly #clock: ProcessClock;
  #pendingCount = 0;

  constructor(ports: SimStorePorts, slot: string, clock: ProcessClock) {
    this.#ports = ports;
    this.#slot = slot;
    this.#clock = clock;
  }

  /** Calls that have not ended. */
  get pendingCount(): number {
    return this.#pendingCount;
  }

  get: Store["get"] = (key) => this.#read("get", () => this.#ports.inner.get(key));
  getMany: Store["getMany"] = (keys) =>
    this.#read("getMany", () => this.#ports.inner.getMany(keys));
  query: Store["query"] = (pk, options) =>
    this.#read("query", () => this.#ports.inner.query(pk, options));
  put: Store["put"] = (item, conditions) =>
    this.#write("put", item, () => this.#ports.inner.put(item, conditions));
  update: Store["update"] = (key, change, conditions) =>
    this.#write("update", key, () => this.#ports.inner.update(key, change, conditions));
  delete: Store["delete"] = (key, conditions) =>
    this.#write("delete", key, () => this.#ports.inner.delete(key, conditions));
  increment: Store["increment"] = (key, attribute, by) =>
    this.#call(
      "increment",
      key,
      () => this.#ports.inner.increment(key, attribute, by),
      () => ({
        error: new CoxswainError("STORE_UNKNOWN_OUTCOME", "No answer to an increment"),
      }),
    );

  async close(): Promise<void> {}

  #read<T>(call: StoreCall, read: () => Promise<T>): Promise<T> {
    return this.#call(call, undefined, read, () => ({
      error: new CoxswainError("STORE_UNAVAILABLE", `No answer to ${call} in ${timeoutMs} ms`),
    }));
  }

  #write(call: StoreCall, key: Key, write: () => Promise<WriteOutcome>): Promise<WriteOutcome> {
    // Made when needed: to catch a stack for each call is a twentieth of a whole run.
    return this.#call(call, key, write, () => {
      const cause = new Error(`No answer to ${call} in ${timeoutMs} ms`);
      return { value: { kind: "unknown", cause } };
    });
  }

  /** `written` is the key that the call changes; undefined for a read. */
  #call<T>(
    call: StoreCall,
    written: Key | undefined,
    effect: () => Promise<T>,
    unanswered: () => Answer<T>,
  ): Promise<T> {
    const { network, timeline, dice, trouble } = this.#ports;
    this.#pendingCount++;
    return new Promise<T>((resolve, reject) => {
      let isSettled = false;
      const settle = (answer: Answer<T>) => {
        if (isSettled) return;
        isSettled = true;
        this.#pendingCount--;
        cancelTimeout();
        if ("value" in answer) resolve(answer.value);
        else reject(answer.error);
      };
      const cancelTimeout = this.#clock.after(timeoutMs, () => settle(unanswered()));
      const answerWith = (answer: Answer<T>) => {
        if (network.isCut("store", this.#slot)) {
          this.#ports.onTrouble(this.#slot, true);
          return;
        }
        timeline.after(this.#delayMs(), () => this.#clock.deliver(() => settle(answer)));
      };
      const arrive = async () => {
        const refusal = this.#refusal(call);
        if (trouble.isDown || refusal !== undefined) this.#ports.onTrouble(this.#slot, false);
        if (trouble.isDown) return;
        if (refusal !== undefined) {
          answerWith({ error: refusal });
          return;
        }
        let answer: Answer<T>;
        try {
          const value = await effect();
          answer = { value };
          if (written !== undefined && isWritten(value)) this.#ports.onWritten(written, isSettled);
        } catch (error) {
          // The product's own checks of its arguments, for the caller to see.
          answer = { error };
        }
        const isLost = written !== undefined && dice.chance(trouble.unknownRatio);
        if (isLost) this.#ports.onTrouble(this.#slot, false);
        answerWith(isLost ? unanswered() : answer);
      };
      if (network.isCut(this.#slot, "store")) {
        this.#ports.onTrouble(this.#slot, true);
        return;
      }
      timeline.after(this.#delayMs(), () => void arrive());
    });
  }

  #refusal(call: StoreCall): CoxswainError | undefined {
    const { dice, trouble } = this.#ports;
    if (dice.chance(trouble.throttledRatio)) {
      return new CoxswainError("STORE_THROTTLED", `The store throttles ${call}`);
    }
    if (trouble.isRefusing || dice.chance(trouble.unavailableRatio)) {
      return new CoxswainError("STORE_UNAVAILABLE", `The store refuses ${call}`);
    }
    return undefined;
  }

  #delayMs(): number {
    const { dice, trouble } = this.#ports;
    if (!dice.chance(trouble.slowRatio)) return dice.between(2, 8);
    this.#ports.onTrouble(this.#slot, false);
    return dice.between(300, 4_000);
  }
}

/** True unless a condition refused the write; an increment answers with its number. */
function isWritten(value: unknown): boolean {
  return typeof value === "number" || Object(value).kind === "written";
}
