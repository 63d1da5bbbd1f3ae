/**
 * The store with a deadline on every call, so that a store that hangs costs one beat, not the loop.
 *
 * A read that misses its deadline fails; a write is `unknown`, because it may still land. The call
 * itself is left to its adapter; whatever it answers later is dropped.
 */
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { WriteOutcome } from "../store/store.ts";
import type { MembershipStore } from "./member.ts";

/** Calls end after `timeoutMs`, or with the signal's reason when it is aborted first. */
export function boundStore(
  store: MembershipStore,
  clock: Clock,
  timeoutMs: number,
  signal?: AbortSignal,
): MembershipStore {
  const late = () =>
    new CoxswainError("STORE_UNAVAILABLE", `Expected an answer within ${timeoutMs} ms, got none`);
  const read = <T>(call: () => Promise<T>) =>
    withDeadline(call, clock, timeoutMs, signal, () => {
      throw late();
    });
  const write = (call: () => Promise<WriteOutcome>) =>
    withDeadline<WriteOutcome>(call, clock, timeoutMs, signal, () => ({
      kind: "unknown",
      cause: late(),
    }));
  return {
    get: (key) => read(() => store.get(key)),
    query: (pk, options) => read(() => store.query(pk, options)),
    put: (item, conditions) => write(() => store.put(item, conditions)),
    update: (key, change, conditions) => write(() => store.update(key, change, conditions)),
    delete: (key, conditions) => write(() => store.delete(key, conditions)),
  };
}

/** What `call` gives, or what `onTimeout` gives (or throws) after `timeoutMs`; leaves no timer. */
export function withDeadline<T>(
  call: () => Promise<T>,
  clock: Clock,
  timeoutMs: number,
  signal: AbortSignal | undefined,
  onTimeout: () => T,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(reasonOf(signal));
      return;
    }
    const end = () => {
      cancel();
      signal?.removeEventListener("abort", onAbort);
    };
    const onAbort = () => {
      end();
      reject(reasonOf(signal));
    };
    const cancel = clock.after(timeoutMs, () => {
      end();
      try {
        resolve(onTimeout());
      } catch (error) {
        reject(asError(error));
      }
    });
    signal?.addEventListener("abort", onAbort, { once: true });
    const run = async () => {
      try {
        resolve(await call());
      } catch (error) {
        reject(asError(error));
      } finally {
        end();
      }
    };
    void run();
  });
}

function reasonOf(signal: AbortSignal | undefined): Error {
  return asError(signal?.reason);
}

function asError(value: unknown): Error {
  return value instanceof Error ? value : new Error(String(value));
}

/** Undefined where the call ended because the signal did; other failures pass through. */
export async function unlessAborted<T>(
  signal: AbortSignal,
  call: () => Promise<T>,
): Promise<T | undefined> {
  try {
    return await call();
  } catch (error) {
    // The loops end by their signal; its reason is not news to them.
    if (signal.aborted) return undefined;
    throw error;
  }
}
