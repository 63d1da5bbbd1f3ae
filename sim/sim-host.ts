/**
 * One machine of the data plane: the shipped agent core on a memory disk, an HTTP listener that
 * exists only as a function, and hellos; with everything that can happen to a machine.
 *
 * A crash loses what the disk had not synced; an amnesia loses the disk. A paused process executes
 * what reached it when it goes on, whoever still waits for it.
 */
import { createAgentCore, type AgentCore } from "../src/agent/agent-core.ts";
import { helloBackoffMs } from "../src/agent/dial-driver.ts";
import type { CommandRunner } from "../src/agent/command-runner.ts";
import { MemoryDisk } from "../src/agent/memory-disk.ts";
import type { Answer, SyncCall } from "../src/agent/sync-request.ts";
import type { Logger } from "../src/kernel/log.ts";
import { silentLogger } from "../src/kernel/log.ts";
import type { Random } from "../src/kernel/random.ts";
import { digestOf } from "../src/protocol/digest.ts";
import { formatFence, parseFence, type Fence } from "../src/protocol/fence.ts";
import type { HostMode } from "../src/protocol/host-mode.ts";
import { syncReplySchema, type Hello } from "../src/protocol/sync.ts";
import type { ExchangeRequest, ExchangeResult } from "../src/push/transport.ts";
import type { Dice } from "./dice.ts";
import type { Recorder } from "./observations.ts";
import { ProcessClock } from "./process-clock.ts";
import { failed, type Listener } from "./sim-transport.ts";
import type { Timeline } from "./timeline.ts";
import { guardedConfig, verdictOf } from "./flaws.ts";
import { bodyOf, listedTargets, manifestIn } from "./host-syncs.ts";
import { configPath, watchDisk } from "./watched-disk.ts";

export type HostFault =
  /** Takes requests and never answers; executes them or not. */
  | { readonly kind: "tarpit"; readonly isExecuting: boolean }
  | { readonly kind: "status"; readonly status: number; readonly retryAfterMs: number | undefined }
  /** Answers something that is no sync reply, or never stops answering. */
  | { readonly kind: "garbage" | "endless" };

/** Guards that a negative control takes away. */
export interface HostGuards {
  readonly hasFence: boolean;
  readonly hasDurableWrite: boolean;
}

export interface HostPorts {
  readonly timeline: Timeline;
  readonly recorder: Recorder;
  readonly dice: Dice;
  readonly cluster: string;
  readonly guards: HostGuards;
  /** Says hello to some node; false where nobody heard it. */
  readonly hello: (host: SimHost, hello: Hello) => Promise<boolean>;
  /** What the agent does for its modes; undefined: it is dialled and says hello. */
  readonly run: ((life: HostLife) => void) | undefined;
}

/** One process of an agent; its core notes what it is asked. */
export interface HostLife {
  readonly host: SimHost;
  readonly clock: ProcessClock;
  readonly core: AgentCore;
  readonly random: Random;
  readonly log: Logger;
}

const quietAfterMs = 60_000;

export class SimHost implements Listener {
  readonly id: string;
  address: string;
  disk = new MemoryDisk();
  /** Counts disks: an amnesia starts the next. */
  diskLife = 1;
  clock: ProcessClock;
  core: AgentCore | undefined;
  fault: HostFault | undefined;
  /** Check and reload commands take this long. */
  commandMs = 0;
  /** Manifests that this host has ever said it holds. */
  readonly said = new Set<string>();
  readonly #ports: HostPorts;
  #blindCount = 0;
  #handlingCount = 0;
  #isIdleCrash = true;
  #isDiskNew = true;
  #bootCount = 0;
  /** Fence of the last accepted push as it was sent. */
  #lastWire: Fence | undefined;

  constructor(ports: HostPorts, id: string, address: string) {
    this.#ports = ports;
    this.id = id;
    this.address = address;
    this.clock = new ProcessClock(ports.timeline);
    this.clock.kill();
  }

  get endpoint(): string {
    return `host:${this.id}`;
  }

  get isUp(): boolean {
    return this.core !== undefined;
  }

  /** True while nothing keeps it from being synced. */
  get isHealthy(): boolean {
    return this.isUp && this.fault === undefined && this.clock.state === "running";
  }

  async start(): Promise<void> {
    // One agent a machine: starting may take as long as a reload.
    if (this.clock.state !== "gone") return;
    const { timeline, recorder, dice, cluster, guards } = this.#ports;
    this.disk.restart();
    this.disk.faults.losesFsync = !guards.hasDurableWrite;
    const clock = new ProcessClock(timeline);
    this.clock = clock;
    const onChange = (path: string) => {
      const isPushed = this.#handlingCount > 0 || this.core === undefined;
      const { verdict } = this.#guarded();
      recorder.observe({ kind: "host.changed", host: this.id, path, isPushed, verdict });
    };
    const { disk } = this;
    const runner: CommandRunner = {
      run: async ({ argv: [what, path = ""] }) => {
        if (this.commandMs > 0) await clock.sleep(this.commandMs);
        const trouble = what === "check" ? "refused" : "unloadable";
        const isFine = verdictOf(this.id, disk.text(path)) !== trouble;
        return { kind: "exited", code: isFine ? 0 : 1, output: isFine ? "" : trouble };
      },
    };
    const core = createAgentCore(
      {
        disk: watchDisk(this.disk, onChange),
        runner,
        clock,
        random: dice.random.fork(`${this.id}/${this.#bootCount++}`),
        log: this.#log(),
      },
      {
        host: this.id,
        cluster,
        agentVersion: "sim/1",
        targets: { folder: "/agent", listed: listedTargets, acceptUnlisted: true },
      },
    );
    try {
      await core.open();
    } catch (error) {
      if (isGone(clock)) return;
      recorder.fail("safety", "boot", `${this.id} cannot open its disk: ${String(error)}`, [
        this.id,
      ]);
      return;
    }
    if (isGone(clock)) return;
    this.core = core;
    const { fence, manifest: held } = core.held();
    recorder.observe({
      kind: "host.booted",
      host: this.id,
      isDiskNew: this.#isDiskNew,
      isIdleCrash: this.#isIdleCrash,
      fence: guards.hasFence ? fence : this.#lastWire,
      held,
      ...this.#guarded(),
    });
    this.#isDiskNew = false;
    if (this.#ports.run === undefined) void this.#sayHellos(clock);
    else {
      const random = dice.random.fork(`modes/${this.#bootCount}`);
      this.#ports.run({
        host: this,
        clock,
        core: this.#noted(core, clock),
        random,
        log: this.#log(),
      });
    }
  }

  /** Power off. `hasAmnesia`: the disk is gone as well. */
  crash(hasAmnesia = false): void {
    // Power that is off already takes nothing more away.
    if (this.clock.state !== "gone") this.#isIdleCrash = this.#handlingCount === 0;
    this.clock.kill();
    this.core = undefined;
    this.#handlingCount = 0;
    if (!hasAmnesia) return;
    this.disk = new MemoryDisk();
    this.diskLife++;
    this.#isDiskNew = true;
  }

  /** Text of a config's file; undefined where there is none. */
  content(name: string): string | undefined {
    return this.disk.text(configPath(name));
  }

  /** What stands in the file that has commands, and what they make of it. */
  #guarded() {
    const text = this.content(guardedConfig);
    const content = text === undefined ? "" : digestOf(Buffer.from(text));
    return { content, verdict: verdictOf(this.id, text) };
  }

  receive(
    request: ExchangeRequest,
    answer: (result: ExchangeResult) => void,
    via: HostMode = "dial",
  ): void {
    const life = this.clock;
    life.deliver(() => {
      const { fault } = this;
      switch (fault?.kind) {
        case undefined:
          void this.#sync(request, life, answer, via);
          return;
        case "tarpit":
          if (fault.isExecuting) void this.#sync(request, life, () => {}, via);
          return;
        case "status":
          answer({ ...fault, kind: "reply", body: Buffer.from("{}") });
          return;
        case "garbage":
          answer({ kind: "reply", status: 200, retryAfterMs: undefined, body: Buffer.from("<p>") });
          return;
        case "endless":
          answer(failed("protocol", "the reply is larger than allowed", true));
          return;
      }
    });
  }

  async #sync(
    request: ExchangeRequest,
    life: ProcessClock,
    answer: (result: ExchangeResult) => void,
    via: HostMode,
  ): Promise<void> {
    const { core } = this;
    const wire = parseFence(request.headers["coxswain-fence"] ?? "");
    if (core === undefined || wire === undefined) return;
    this.#handlingCount++;
    try {
      const body = bodyOf(request);
      const {
        status,
        body: reply,
        retryAfterSeconds,
      } = await core.handleSync({
        headers: this.#ports.guards.hasFence ? request.headers : this.#blind(request.headers),
        body,
        via,
      });
      // A machine without power finishes nothing.
      if (life.state === "gone") return;
      this.#handlingCount--;
      this.#note(status, reply, wire, request.headers, manifestIn(body), via);
      const retryAfterMs = retryAfterSeconds === undefined ? undefined : retryAfterSeconds * 1_000;
      answer({ kind: "reply", status, retryAfterMs, body: Buffer.from(JSON.stringify(reply)) });
    } catch (error) {
      this.#broke(life, error);
    }
  }

  #broke(life: ProcessClock, error: unknown): void {
    if (life !== this.clock || life.state === "gone") return;
    if (!String(error).includes("machine has crashed")) {
      this.#ports.recorder.fail("crash", "agent", `${this.id}: ${stackOf(error)}`, [this.id]);
      return;
    }
    this.crash();
  }

  /** The core for drivers that bring syncs themselves. */
  #noted(core: AgentCore, life: ProcessClock): AgentCore {
    return {
      open: () => core.open(),
      screen: (headers) => core.screen(headers),
      held: () => core.held(),
      lastSyncAtMs: (mode) => core.lastSyncAtMs(mode),
      handleSync: (call) => this.#fetched(core, life, call),
    };
  }

  async #fetched(core: AgentCore, life: ProcessClock, call: SyncCall): Promise<Answer> {
    const headers = call.headers as ExchangeRequest["headers"];
    const wire = parseFence(headers["coxswain-fence"] ?? "");
    if (wire === undefined) return core.handleSync(call);
    this.#handlingCount++;
    try {
      const told = this.#ports.guards.hasFence ? headers : this.#blind(headers);
      const answer = await core.handleSync({ ...call, headers: told });
      if (life.state !== "gone") {
        this.#handlingCount--;
        this.#note(
          answer.status,
          answer.body,
          wire,
          headers,
          manifestIn(call.body),
          call.via ?? "dial",
        );
        return answer;
      }
    } catch (error) {
      this.#broke(life, error);
    }
    // A machine without power goes on with nothing.
    return new Promise(() => {});
  }

  #note(
    status: number,
    body: object,
    wire: Fence,
    headers: ExchangeRequest["headers"],
    offered: string,
    via: HostMode,
  ): void {
    const { recorder, guards } = this.#ports;
    const reply = syncReplySchema.safeParse(body).data;
    if (reply !== undefined) this.said.add(reply.manifest);
    if (status !== 200 || reply === undefined) {
      recorder.observe({ kind: "host.refused", host: this.id, status });
      return;
    }
    const isAccepted = !guards.hasFence || reply.fence === formatFence(wire);
    if (isAccepted) this.#lastWire = wire;
    recorder.observe({
      kind: "host.synced",
      host: this.id,
      ...(via === "dial" ? {} : { via }),
      node: headers["coxswain-node"] ?? "",
      wire,
      offered,
      held: reply.manifest,
      isAccepted,
      isRefused: reply.configs.some(
        ({ name, result }) =>
          name === guardedConfig && (result === "rejected" || result === "failed"),
      ),
      ...this.#guarded(),
    });
  }

  /** The fence taken out: the core is told a number that never goes back. */
  #blind(headers: ExchangeRequest["headers"]): ExchangeRequest["headers"] {
    this.#blindCount++;
    return { ...headers, "coxswain-fence": `1.${this.#blindCount}.${this.#blindCount}` };
  }

  async #sayHellos(clock: ProcessClock): Promise<void> {
    const { dice, hello } = this.#ports;
    await clock.sleep(dice.between(0, 1_000));
    for (;;) {
      const sinceMs = clock.monotonicMs();
      for (let attempt = 1; (this.core?.lastSyncAtMs() ?? -1) < sinceMs; attempt++) {
        if (this.core === undefined || clock.state === "gone") return;
        const { boot, fence, manifest } = this.core.held();
        const text = formatFence(fence ?? { generation: 0, fleet: 0, host: 0 });
        if (await hello(this, { host: this.id, boot, fence: text, manifest })) break;
        await clock.sleep(helloBackoffMs(attempt, dice.random.next()));
      }
      const heardMs = clock.monotonicMs();
      const quietMs = quietAfterMs * dice.between(1, 1.2);
      for (;;) {
        const lastMs = Math.max(heardMs, this.core?.lastSyncAtMs() ?? 0);
        const leftMs = lastMs + quietMs - clock.monotonicMs();
        if (leftMs <= 0) break;
        await clock.sleep(leftMs);
      }
    }
  }

  #log(): Logger {
    const { recorder } = this.#ports;
    const log: Logger = {
      ...silentLogger,
      error: (fields, message) => {
        if (message.startsWith("mode ended")) {
          recorder.fail("crash", "mode", `${this.id}: ${JSON.stringify(fields)}`, [this.id]);
        }
        if (!message.startsWith("integrity")) return;
        const text = `${this.id}: ${message} ${JSON.stringify(fields)}`;
        recorder.fail("safety", "integrity", text, [this.id]);
      },
      child: () => log,
    };
    return log;
  }
}

/** Asked again after a wait: the machine may have lost power meanwhile. */
const isGone = (clock: ProcessClock): boolean => clock.state === "gone";

export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
