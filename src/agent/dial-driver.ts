/**
 * The agent's part in being dialled: it says hello (or knocks) when it starts and when it has heard nothing
 * for long, and waits. Hellos are spread and backed off with full jitter, so that a fleet that comes back at
 * once does not arrive at once.
 */
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import { formatFence } from "../protocol/fence.ts";
import type { AgentCore } from "./agent-core.ts";
import type { SayHello } from "./hello-client.ts";
import type { ModeDriver } from "./mode-driver.ts";

/** Three sweeps. */
export const quietAfterDefaultMs = 3 * 60_000;
const helloSpreadDefaultMs = 1_000;
const helloBackoffMinMs = 1_000;
const helloBackoffMaxMs = 60_000;

/** Nobody answers a knock, so that it is not answered is no news. */
const levels = { refused: "warn", busy: "info", unreachable: "info", unanswered: "debug" } as const;

/** Time before hello attempt number `attempt` (from 1): full jitter below a doubling bound. */
export function helloBackoffMs(attempt: number, random: number): number {
  return random * Math.min(helloBackoffMaxMs, helloBackoffMinMs * 2 ** Math.min(attempt, 16));
}

export interface DialPorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly core: AgentCore;
  readonly sayHello: SayHello;
}

export interface DialOptions {
  /** `knock`: `sayHello` sends datagrams. */
  readonly mode: "dial" | "knock";
  readonly host: string;
  readonly nodes: readonly string[];
  readonly quietAfterMs: number | undefined;
  readonly helloSpreadMs: number | undefined;
}

export class DialDriver implements ModeDriver {
  readonly mode: "dial" | "knock";
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #sayHello: SayHello;
  readonly #options: DialOptions;
  readonly #core: AgentCore;

  constructor({ clock, random, log, core, sayHello }: DialPorts, options: DialOptions) {
    this.mode = options.mode;
    this.#clock = clock;
    this.#random = random;
    this.#log = log;
    this.#core = core;
    this.#sayHello = sayHello;
    this.#options = options;
  }

  workedAtMs(): number | undefined {
    return this.#core.lastSyncAtMs("dial");
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#options.nodes.length === 0) return;
    const spreadMs = this.#options.helloSpreadMs ?? helloSpreadDefaultMs;
    await this.#clock.sleep(this.#random.next() * spreadMs, signal);
    while (!signal.aborted) {
      await this.#helloUntilHeard(signal);
      await this.#sleepUntilQuiet(signal);
    }
  }

  /** Asks the nodes in turn, from a random one on, until one answers or a sync has come anyway. */
  async #helloUntilHeard(signal: AbortSignal): Promise<void> {
    const { nodes } = this.#options;
    const first = Math.floor(this.#random.next() * nodes.length);
    const sinceMs = this.#clock.monotonicMs();
    for (let attempt = 1; (this.#core.lastSyncAtMs() ?? -1) < sinceMs; attempt++) {
      const node = nodes[(first + attempt - 1) % nodes.length] ?? "";
      const outcome = await this.#sayHello(node, this.#hello(), signal);
      if (outcome.kind === "heard") return;
      this.#log[levels[outcome.kind]]({ node, ...outcome }, "hello not heard");
      const backoffMs = helloBackoffMs(attempt, this.#random.next());
      const waitMs = outcome.kind === "busy" ? outcome.retryAfterMs + backoffMs : backoffMs;
      await this.#clock.sleep(waitMs, signal);
    }
  }

  async #sleepUntilQuiet(signal: AbortSignal): Promise<void> {
    const heardAtMs = this.#clock.monotonicMs();
    // Spread, so that agents that lost one node together do not all speak together.
    const quietMs =
      (this.#options.quietAfterMs ?? quietAfterDefaultMs) * (1 + 0.2 * this.#random.next());
    for (;;) {
      const lastMs = Math.max(heardAtMs, this.#core.lastSyncAtMs() ?? 0);
      const leftMs = lastMs + quietMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return;
      await this.#clock.sleep(leftMs, signal);
    }
  }

  #hello() {
    const { boot, fence, manifest } = this.#core.held();
    return {
      host: this.#options.host,
      boot,
      fence: formatFence(fence ?? { generation: 0, fleet: 0, host: 0 }),
      manifest,
    };
  }
}
