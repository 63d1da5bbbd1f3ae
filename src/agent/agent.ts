/**
 * An agent: the core of a sync, an HTTP server around it, a lock on its folder, and its hellos.
 *
 * The agent is passive. It asks for nothing: it says hello when it starts and when it has heard
 * nothing for long, and waits. Hellos are spread and backed off with full jitter, so that a fleet
 * that comes back at once does not arrive at once.
 */
import packageJson from "../../package.json" with { type: "json" };
import { systemClock, type Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { systemRandom, type Random } from "../kernel/random.ts";
import { formatFence } from "../protocol/fence.ts";
import { createAgentCore, type AgentCore, type Held } from "./agent-core.ts";
import { startAgentServer, type AgentServer } from "./agent-server.ts";
import { createCommandRunner, type CommandRunner } from "./command-runner.ts";
import type { AgentSettings } from "./config-file.ts";
import { fileDisk } from "./file-disk.ts";
import { lockFolder, type FolderLock } from "./folder-lock.ts";
import { createHelloClient, type SayHello } from "./hello-client.ts";
import { createStateReport } from "./state-report.ts";

export interface AgentOptions extends AgentSettings {
  /** Added to the state of each reply as `custom`. */
  readonly reportState?: () => Record<string, unknown>;
  /** Without a sync for this long the agent says hello again. Default: three sweeps of 60 s. */
  readonly quietAfterMs?: number;
  /** The first hello falls in this time. Default 1 s; longer for very large fleets. */
  readonly helloSpreadMs?: number;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly log?: Logger;
  readonly runner?: CommandRunner;
  readonly sayHello?: SayHello;
}

export interface Agent {
  /** Locks the folder, loads the state, listens; rejects with a CoxswainError. */
  start(): Promise<void>;
  /** Finishes what is under way; every timer, socket and lock is gone when it resolves. */
  stop(): Promise<void>;
  /** Base URL of the agent, for the inventory; defined while it runs. */
  readonly address: string | undefined;
  held(): Held;
  readonly core: AgentCore;
}

const quietAfterDefaultMs = 3 * 60_000;
const helloSpreadDefaultMs = 1_000;
const helloBackoffMinMs = 1_000;
const helloBackoffMaxMs = 60_000;

/** Text of the `agent` field in replies. */
const agentVersion = `coxswain/${packageJson.version}`;

export function createAgent(options: AgentOptions): Agent {
  return new RunningAgent(options);
}

/** Time before hello attempt number `attempt` (from 1): full jitter below a doubling bound. */
export function helloBackoffMs(attempt: number, random: number): number {
  return random * Math.min(helloBackoffMaxMs, helloBackoffMinMs * 2 ** Math.min(attempt, 16));
}

class RunningAgent implements Agent {
  readonly core: AgentCore;
  readonly #options: AgentOptions;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #sayHello: SayHello;
  readonly #stateReport: ReturnType<typeof createStateReport>;
  readonly #stopping = new AbortController();
  #lock: FolderLock | undefined;
  #server: AgentServer | undefined;
  #loops: Promise<void>[] = [];
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(options: AgentOptions) {
    this.#options = options;
    const { host, cluster, targets, workingFolder, tls, stateCommand } = options;
    this.#clock = options.clock ?? systemClock;
    this.#random = (options.random ?? systemRandom()).fork(`agent/${host}`);
    this.#log = (options.log ?? silentLogger).child({ host });
    const clock = this.#clock;
    const log = this.#log;
    const runner = options.runner ?? createCommandRunner({ workingFolder, clock });
    this.#sayHello = options.sayHello ?? createHelloClient({ clock, cluster, tls });
    this.#stateReport = createStateReport(
      { clock, runner, log },
      {
        agentVersion,
        command: stateCommand,
        refreshMs: stateCommand?.refreshMs ?? 0,
        custom: options.reportState,
      },
    );
    this.core = createAgentCore(
      { disk: fileDisk, runner, clock, random: this.#random, log },
      { host, cluster, targets, agentVersion, reportState: () => this.#stateReport.report() },
    );
  }

  get address(): string | undefined {
    return this.#server?.url;
  }

  held(): Held {
    return this.core.held();
  }

  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #start(): Promise<void> {
    const { targets, listen, tls } = this.#options;
    this.#lock = await lockFolder(targets.folder);
    try {
      await this.core.open();
      this.#server = await startAgentServer({ core: this.core, log: this.#log }, { listen, tls });
    } catch (error) {
      await this.#lock.release();
      throw error;
    }
    if (tls === undefined && !isLoopback(listen.host)) {
      this.#log.warn({ listen: listen.host }, "listening beyond loopback without TLS");
    }
    const { signal } = this.#stopping;
    this.#loops = [this.#helloLoop(signal), this.#stateReport.run(signal)].map((loop) =>
      this.#untilAborted(loop, signal),
    );
    this.#log.info({ address: this.#server.url }, "agent listening");
  }

  async #stop(): Promise<void> {
    this.#stopping.abort(new Error("The agent is stopping"));
    // A start that failed has released everything and told its caller.
    await this.#started?.catch(() => {});
    await Promise.all(this.#loops);
    await this.#server?.stop();
    this.#server = undefined;
    await this.#lock?.release();
  }

  async #untilAborted(loop: Promise<void>, signal: AbortSignal): Promise<void> {
    try {
      await loop;
    } catch (error) {
      // Without this loop the agent still serves syncs, which matters more than a clean end.
      if (!signal.aborted) this.#log.error({ error: messageOf(error) }, "agent loop ended");
    }
  }

  async #helloLoop(signal: AbortSignal): Promise<void> {
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
    for (let attempt = 1; (this.core.lastSyncAtMs() ?? -1) < sinceMs; attempt++) {
      const node = nodes[(first + attempt - 1) % nodes.length] ?? "";
      const outcome = await this.#sayHello(node, this.#hello(), signal);
      if (outcome.kind === "heard") return;
      const level = outcome.kind === "refused" ? "warn" : "info";
      this.#log[level]({ node, ...outcome }, "hello not heard");
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
      const lastMs = Math.max(heardAtMs, this.core.lastSyncAtMs() ?? 0);
      const leftMs = lastMs + quietMs - this.#clock.monotonicMs();
      if (leftMs <= 0) return;
      await this.#clock.sleep(leftMs, signal);
    }
  }

  #hello() {
    const { boot, fence, manifest } = this.core.held();
    return {
      host: this.#options.host,
      boot,
      fence: formatFence(fence ?? { generation: 0, fleet: 0, host: 0 }),
      manifest,
    };
  }
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
