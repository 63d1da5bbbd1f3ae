/**
 * The object store as one process reaches it: one shared memory store behind a link that can fail.
 *
 * A call takes effect half a round trip after it was made, even when its caller has given up; a write may
 * land and be answered by an error. A stale read gives what lay there before; a truncated one, which
 * only hosts get (through a gateway or a proxy), gives the first bytes under the ETag of all of them.
 */
import { CoxswainError } from "../src/kernel/errors.ts";
import { MemoryObjectStore } from "../src/objects/memory-object-store.ts";
import type {
  ObjectRead,
  ObjectStore,
  PutOutcome,
  ReadOptions,
  WriteOptions,
} from "../src/objects/object-store.ts";
import type { Dice } from "./dice.ts";
import type { ProcessClock } from "./process-clock.ts";
import type { Timeline } from "./timeline.ts";

/** What the object store does to calls, at this moment. */
export interface ObjectsTrouble {
  isSilent: boolean;
  isRefusing: boolean;
  staleRatio: number;
  truncatedRatio: number;
  slowRatio: number;
  /** Writes that land and are answered by an error. */
  unknownRatio: number;
}

export const calmObjects: Readonly<ObjectsTrouble> = {
  isSilent: false,
  isRefusing: false,
  staleRatio: 0,
  truncatedRatio: 0,
  slowRatio: 0,
  unknownRatio: 0,
};

export interface ObjectsOfWorld {
  readonly timeline: Timeline;
  readonly dice: Dice;
  readonly inner: MemoryObjectStore;
  readonly trouble: ObjectsTrouble;
  /** What lay under a key before, oldest first. */
  readonly earlier: Map<string, Uint8Array[]>;
}

/** The timeouts of the shipped adapters are of this order. */
const timeoutMs = 5_000;
const earlierKept = 3;

export class SimObjects implements ObjectStore {
  readonly #world: ObjectsOfWorld;
  readonly #clock: ProcessClock;
  readonly #isHost: boolean;

  constructor(world: ObjectsOfWorld, clock: ProcessClock, of: "node" | "host") {
    this.#world = world;
    this.#clock = clock;
    this.#isHost = of === "host";
  }

  get(key: string, { signal, ...options }: ReadOptions): Promise<ObjectRead> {
    return this.#call(signal, () => this.#read(key, options));
  }

  put(key: string, bytes: Uint8Array, { condition, signal }: WriteOptions = {}) {
    return this.#call(signal, async (): Promise<PutOutcome> => {
      const { inner, earlier, dice, trouble } = this.#world;
      const before = inner.objects.get(key);
      const outcome = await inner.put(key, bytes, { condition });
      if (outcome.kind === "written" && before !== undefined) {
        earlier.set(key, [...(earlier.get(key) ?? []), before].slice(-earlierKept));
      }
      if (dice.chance(trouble.unknownRatio)) throw unavailable("no answer to a write");
      return outcome;
    });
  }

  close(): void {}

  async #read(key: string, options: ReadOptions): Promise<ObjectRead> {
    const { inner, earlier, dice, trouble } = this.#world;
    const old = dice.chance(trouble.staleRatio) ? dice.pick(earlier.get(key) ?? []) : undefined;
    const store = old === undefined ? inner : new MemoryObjectStore(new Map([[key, old]]));
    const found = await store.get(key, options);
    const isWhole = !this.#isHost || !dice.chance(trouble.truncatedRatio);
    if (isWhole || found.kind !== "value") return found;
    return { ...found, bytes: found.bytes.slice(0, dice.whole(0, found.bytes.length - 1)) };
  }

  #call<T>(signal: AbortSignal | undefined, effect: () => Promise<T>): Promise<T> {
    const { timeline, trouble } = this.#world;
    return new Promise<T>((resolve, reject) => {
      let isSettled = false;
      const settle = (end: () => void) => {
        if (isSettled) return;
        isSettled = true;
        signal?.removeEventListener("abort", onAbort);
        end();
      };
      const onAbort = () => settle(() => reject(signal?.reason as Error));
      const answer = (delayMs: number, end: () => void) =>
        timeline.after(delayMs, () => this.#clock.deliver(() => settle(end)));
      if (signal?.aborted === true) {
        onAbort();
        return;
      }
      signal?.addEventListener("abort", onAbort, { once: true });
      answer(timeoutMs, () => reject(unavailable("no answer in time")));
      const arrive = async () => {
        if (trouble.isSilent) return;
        try {
          if (trouble.isRefusing) throw unavailable("refused");
          const value = await effect();
          answer(this.#delayMs(), () => resolve(value));
        } catch (error) {
          answer(this.#delayMs(), () => reject(error));
        }
      };
      timeline.after(this.#delayMs(), () => void arrive());
    });
  }

  #delayMs(): number {
    const { dice, trouble } = this.#world;
    return dice.chance(trouble.slowRatio) ? dice.between(500, 8_000) : dice.between(5, 30);
  }
}

function unavailable(why: string): CoxswainError {
  return new CoxswainError("OBJECTS_UNAVAILABLE", `The object store: ${why}`);
}
