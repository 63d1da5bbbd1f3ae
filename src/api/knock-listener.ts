/** The knock listener of a node: a thread with a UDP socket, and what it tells (knock-worker.ts). */
import { Worker } from "node:worker_threads";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import type { VerifiedKnock } from "../node/knocks.ts";
import type { KnockDrop, KnockMessage, KnockSetup } from "./knock-messages.ts";

export interface KnockEvents {
  /** Signed by the hosts they name; old ones may be among them. */
  onKnocks(knocks: readonly VerifiedKnock[]): void;
  /** Datagrams dropped since the last call. */
  onDropped(counts: Readonly<Record<KnockDrop, number>>): void;
  /** The thread has ended by itself; nothing is received any more. */
  onFailed(message: string): void;
}

export interface KnockListener {
  readonly port: number;
  stop(): Promise<void>;
}

/** Listens; rejects with OPTION_INVALID where the address cannot be bound. */
export async function startKnockListener(
  setup: KnockSetup,
  events: KnockEvents,
): Promise<KnockListener> {
  const worker = new Worker(new URL("./knock-worker.ts", import.meta.url), {
    workerData: setup,
    // What the process preloads is meant for its main thread.
    execArgv: [],
  });
  const listening = Promise.withResolvers<number>();
  let isStopped = false;
  const fail = (message: string) => {
    listening.reject(
      new CoxswainError(
        "OPTION_INVALID",
        `Expected \`knockPort\` to be a free port of ${setup.host}, got ${setup.port}: ${message}`,
      ),
    );
    if (!isStopped) events.onFailed(message);
  };
  worker.on("message", (message: KnockMessage) => {
    if (message.kind === "listening") listening.resolve(message.port);
    else if (message.kind === "knocks") events.onKnocks(message.knocks);
    else if (message.kind === "dropped") events.onDropped(message.counts);
    else fail(message.message);
  });
  worker.on("error", (error) => fail(messageOf(error)));
  worker.on("exit", () => fail("the thread has ended"));
  const stop = async () => {
    isStopped = true;
    await worker.terminate();
  };
  try {
    return { port: await listening.promise, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
