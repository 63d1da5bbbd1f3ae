/**
 * An agent: the core of a sync, an HTTP server around it, a lock on its folder, and a driver for each
 * of its modes.
 *
 * What a sync means is the core's alone; modes differ in who opens the connection over which it comes.
 */
import packageJson from "../../package.json" with { type: "json" };
import { systemClock, type Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { systemRandom, type Random } from "../kernel/random.ts";
import { openObjectReader } from "../objects/open-objects.ts";
import { isDialled } from "../protocol/host-mode.ts";
import { createAgentCore, type AgentCore, type Held } from "./agent-core.ts";
import { startAgentServer, type AgentServer } from "./agent-server.ts";
import { createAttachClient } from "./attach-client.ts";
import { createCommandRunner, type CommandRunner } from "./command-runner.ts";
import type { AgentSettings } from "./config-file.ts";
import { DialDriver, quietAfterDefaultMs } from "./dial-driver.ts";
import { fileDisk } from "./file-disk.ts";
import { lockFolder, type FolderLock } from "./folder-lock.ts";
import { createHelloClient, type SayHello } from "./hello-client.ts";
import { createKnockSender } from "./knock-sender.ts";
import type { ModeDriver } from "./mode-driver.ts";
import { ModeKeeper, type ModeKeeperOptions } from "./mode-keeper.ts";
import { createNodeCaller, type CallNode } from "./node-call.ts";
import { ObjectDriver } from "./object-driver.ts";
import { PollDriver } from "./poll-driver.ts";
import { createReportClient, type Report } from "./report-client.ts";
import { ReverseDriver } from "./reverse-driver.ts";
import { createStateReport } from "./state-report.ts";

export interface AgentOptions extends AgentSettings {
  /** Added to the state of each reply as `custom`. */
  readonly reportState?: () => Record<string, unknown>;
  /** Without a sync for this long the agent says hello again. Default: three sweeps of 60 s. */
  readonly quietAfterMs?: number;
  /** The first hello falls in this time. Default 1 s; longer for very large fleets. */
  readonly helloSpreadMs?: number;
  /** When a worse mode starts and stops again; the defaults suit a fleet, not a test. */
  readonly fallback?: Partial<ModeKeeperOptions>;
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
  /** Base URL of the agent, for the inventory; defined while it runs and listens. */
  readonly address: string | undefined;
  held(): Held;
  readonly core: AgentCore;
}

/** Text of the `agent` field in replies. */
const agentVersion = `coxswain/${packageJson.version}`;

export function createAgent(options: AgentOptions): Agent {
  return new RunningAgent(options);
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
    return this.#server?.url || undefined;
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
    const { targets, listen, tls, modes, quietAfterMs, fallback } = this.#options;
    this.#lock = await lockFolder(targets.folder);
    try {
      await this.core.open();
      this.#server = await startAgentServer(
        { core: this.core, log: this.#log },
        { listen: isDialled(modes) ? listen : undefined, tls },
      );
    } catch (error) {
      await this.#lock.release();
      throw error;
    }
    if (isDialled(modes) && tls === undefined && !isLoopback(listen.host)) {
      this.#log.warn({ listen: listen.host }, "listening beyond loopback without TLS");
    }
    const { signal } = this.#stopping;
    const keeper = new ModeKeeper({ clock: this.#clock, log: this.#log }, this.#drivers(), {
      quietAfterMs: quietAfterMs ?? quietAfterDefaultMs,
      ...fallback,
    });
    this.#loops = [keeper.run(signal), this.#stateReport.run(signal)].map((loop) =>
      this.#untilAborted(loop, signal),
    );
    this.#log.info({ address: this.#server.url, modes }, "agent started");
  }

  /** What is to be done for each mode, best first. */
  #drivers(): ModeDriver[] {
    const { modes, host, cluster, nodes, knock, object } = this.#options;
    const { quietAfterMs, helloSpreadMs } = this.#options;
    const ports = { clock: this.#clock, random: this.#random, log: this.#log, core: this.core };
    const callNode = this.#callNode();
    const timing = { host, quietAfterMs, helloSpreadMs };
    return modes.flatMap((mode): ModeDriver[] => {
      if (mode === "dial") {
        const options = { ...timing, mode, nodes } as const;
        return [new DialDriver({ ...ports, sayHello: this.#sayHello }, options)];
      }
      if (mode === "reverse" && this.#server !== undefined) {
        const { key, tls, direct } = this.#options;
        const attach = createAttachClient({ clock: this.#clock, cluster, host, key, tls });
        const reverse = { ...ports, server: this.#server, attach };
        return [new ReverseDriver(reverse, { nodes, isDirect: direct === true })];
      }
      if (mode === "knock" && knock !== undefined) {
        const sayHello = createKnockSender({ clock: this.#clock, host, hostKey: knock.key });
        return [new DialDriver({ ...ports, sayHello }, { ...timing, mode, nodes: knock.at })];
      }
      if (mode === "object" && object !== undefined) {
        const open = () => openObjectReader(object, this.#clock);
        const report = nodes.length === 0 ? undefined : this.#report(callNode);
        return [new ObjectDriver({ ...ports, open, report }, { host, cluster })];
      }
      if (mode === "poll") {
        const options = { host, nodes, spreadMs: helloSpreadMs };
        return [new PollDriver({ ...ports, callNode, report: this.#report(callNode) }, options)];
      }
      return [];
    });
  }

  #callNode(): CallNode {
    const { cluster, key, tls } = this.#options;
    return createNodeCaller({ clock: this.#clock, cluster, key, tls });
  }

  #report(callNode: CallNode): Report {
    const { host, nodes } = this.#options;
    return createReportClient({ callNode, random: this.#random, log: this.#log }, { host, nodes });
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
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}
