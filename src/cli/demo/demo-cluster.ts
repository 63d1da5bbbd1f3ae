/**
 * The demo's cluster: an embedded store in this process, nodes and agents in children.
 *
 * Every step is what an operator would do: `init`, `node`, hosts and releases through the API.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { CliContext } from "../cli-context.ts";
import { createApiClient, type ApiClient } from "../api-client.ts";
import { createApiTransport } from "../api-transport.ts";
import type { StatusView } from "../api-shapes.ts";
import { CoxswainError, isCoxswainError, messageOf } from "../../kernel/errors.ts";
import { digestOf } from "../../protocol/digest.ts";
import { startEmbeddedStore, type EmbeddedStore } from "../../store/embedded-store.ts";
import { AgentFleet } from "./agent-fleet.ts";
import { assertRunning, childEnv, DemoChild } from "./child-process.ts";
import { demoCluster, demoConfig, routesOf, type DemoPlan, type NodePlan } from "./demo-plan.ts";

const pollIntervalMs = 100;
const requestDeadlineMs = 5_000;
const importChunkHosts = 500;
const pageHosts = 500;

/** Enough for some nodes; each is read at every move, and the embedded store answers some hundreds a second. */
const partitionsCount = 256;
/** A busy machine may be too slow for one request; doing these again changes nothing. */
const triesMax = 8;

/** Quicker than the defaults, so that a stopped host shows within seconds of watching. */
const nodeTuning = ["--sweep-interval=4s", "--push-deadline=3s"];

export interface Release {
  readonly number: number;
  readonly digest: string;
  readonly rolloutId: string;
}

export class DemoCluster {
  readonly plan: DemoPlan;
  readonly api: ApiClient;
  readonly agents: AgentFleet;
  /** The newest rollout that the demo started. */
  release: Release | undefined;
  readonly #context: CliContext;
  readonly #signal: AbortSignal;
  readonly #store: EmbeddedStore;
  readonly #agentChild: DemoChild;
  readonly #nodes = new Map<string, DemoChild>();

  private constructor(
    plan: DemoPlan,
    context: CliContext,
    signal: AbortSignal,
    store: EmbeddedStore,
  ) {
    this.plan = plan;
    this.#context = context;
    this.#signal = signal;
    this.#store = store;
    this.#agentChild = this.#spawn("agents", "./demo-agents.ts", []);
    this.agents = new AgentFleet(
      this.#agentChild,
      plan.nodes.map(({ fleetUrl }) => fleetUrl),
    );
    this.api = createApiClient(
      createApiTransport({
        addresses: plan.nodes.map(({ apiUrl }) => apiUrl),
        actor: "demo",
        deadlineMs: requestDeadlineMs,
        now: () => context.clock.monotonicMs(),
        signal,
      }),
    );
  }

  /** Store, table and nodes are up, every host is registered and runs an agent. */
  static async start(
    plan: DemoPlan,
    context: CliContext,
    signal: AbortSignal,
    say: (line: string) => void,
  ): Promise<DemoCluster> {
    await mkdir(plan.logDir, { recursive: true });
    const store = await startEmbeddedStore({ dir: plan.storeDir, port: plan.storePort });
    const cluster = new DemoCluster(plan, context, signal, store);
    try {
      await cluster.#init();
      say(`store       ${store.endpoint} (embedded DynamoDB protocol, in ${plan.storeDir})`);
      for (const node of plan.nodes) cluster.startNode(node);
      await cluster.waitForStatus((status) => isWhole(status, plan.nodes.length));
      for (const { slot, apiUrl } of plan.nodes) {
        say(`${slot.padEnd(11)} ${apiUrl} (pid ${cluster.pidOf(slot)})`);
      }
      await cluster.agents.start(plan.hosts);
      await cluster.#register();
      say(
        `hosts       ${plan.hosts.length} agents on 127.0.0.1:${plan.hosts[0]?.port}–${plan.hosts.at(-1)?.port} (pid ${cluster.#agentChild.pid})`,
      );
      return cluster;
    } catch (error) {
      await cluster.close();
      throw error;
    }
  }

  startNode(node: NodePlan): void {
    const child = this.#spawn(node.slot, "../main.ts", [
      "node",
      ...this.#storeFlags(),
      `--slot=${node.slot}`,
      `--cluster=${demoCluster}`,
      `--api-port=${node.apiPort}`,
      `--fleet-port=${node.fleetPort}`,
      ...nodeTuning,
    ]);
    this.#nodes.set(node.slot, child);
  }

  /** SIGKILL: the node has no chance to say goodbye. */
  async killNode(slot: string): Promise<void> {
    const child = this.#nodes.get(slot);
    if (child === undefined) return;
    child.kill();
    await child.exited;
  }

  /** Undefined while the node does not run. */
  pidOf(slot: string): number | undefined {
    const child = this.#nodes.get(slot);
    return child?.isRunning === true ? child.pid : undefined;
  }

  runningNodes(): NodePlan[] {
    return this.plan.nodes.filter(({ slot }) => this.pidOf(slot) !== undefined);
  }

  /** Publishes the next release of the demo's config and rolls it out to every host. */
  async rollOut(): Promise<Release> {
    const number = (this.release?.number ?? 0) + 1;
    const content = routesOf(number);
    const digest = digestOf(content);
    await this.#persist(() => this.api.putRelease(demoConfig, content));
    const rollout = await this.#persist(() =>
      this.api.startRollout({ config: demoConfig, digest, selector: "" }),
    );
    this.release = { number, digest, rolloutId: rollout.id };
    return this.release;
  }

  /** Polls until `isDone`; throws as soon as a child that should run has ended. */
  async waitForStatus(isDone: (status: StatusView) => boolean): Promise<StatusView> {
    for (;;) {
      assertRunning(this.#agentChild);
      const status = await this.api.status().catch((error: unknown) => {
        this.#signal.throwIfAborted();
        if (!isCoxswainError(error) || !error.retryable) throw error;
        return undefined;
      });
      if (status !== undefined && isDone(status)) return status;
      if (this.runningNodes().length === 0) this.#failWithNodeLogs();
      await this.#context.clock.sleep(pollIntervalMs, this.#signal);
    }
  }

  /** Polls until all members of a view without `slot` have loaded everything that it gives them. */
  async waitForTakeover(slot: string): Promise<void> {
    await this.waitForStatus(({ view }) => view.members.every((member) => member.slot !== slot));
    for (;;) {
      const { view, members } = await this.#persist(() => this.api.members());
      const isLoaded = members.every(
        ({ viewSeen }) =>
          viewSeen?.generation === view.generation && viewSeen.version === view.version,
      );
      if (isLoaded) return;
      await this.#context.clock.sleep(pollIntervalMs, this.#signal);
    }
  }

  /** The running node that owns most hosts, by the owners that the API names. */
  async busiestNode(): Promise<{ readonly slot: string; readonly hostsCount: number }> {
    const ownedCounts = new Map(this.runningNodes().map(({ slot }) => [slot, 0]));
    let cursor: string | undefined;
    do {
      const page = await this.#persist(() => this.api.hosts({ limit: pageHosts, cursor }));
      for (const { owner } of page.hosts) {
        const count = ownedCounts.get(owner ?? "");
        if (owner !== null && count !== undefined) ownedCounts.set(owner, count + 1);
      }
      cursor = page.next ?? undefined;
    } while (cursor !== undefined);
    const [busiest] = [...ownedCounts].toSorted(([, left], [, right]) => right - left);
    if (busiest === undefined) throw new CoxswainError("DEMO_FAILED", "No node runs");
    return { slot: busiest[0], hostsCount: busiest[1] };
  }

  /** Ends every child and the store. Idempotent. */
  async close(): Promise<void> {
    const children = [...this.#nodes.values(), this.#agentChild];
    await Promise.all(children.map((child) => child.stop(this.#context.clock)));
    await this.api.close();
    await this.#store.stop();
  }

  /** The ends of all logs, for a failure nobody understands yet. */
  logTails(): string {
    return [...this.#nodes.values(), this.#agentChild]
      .map((child) => `--- ${child.logPath}\n${child.logTail()}`)
      .join("\n");
  }

  async #init(): Promise<void> {
    const child = this.#spawn("init", "../main.ts", [
      "init",
      ...this.#storeFlags(),
      `--cluster=${demoCluster}`,
      `--partitions=${partitionsCount}`,
    ]);
    const exit = await child.exited;
    if (exit === 0) return;
    throw new CoxswainError("DEMO_FAILED", `init ended with ${exit}:\n${child.logTail()}`);
  }

  async #register(): Promise<void> {
    const { hosts } = this.plan;
    for (let start = 0; start < hosts.length; start += importChunkHosts) {
      const lines = hosts
        .slice(start, start + importChunkHosts)
        .map(({ id, address, labels }) => JSON.stringify({ id, address, labels }));
      const report = await this.#persist(() =>
        this.api.importHosts(`${lines.join("\n")}\n`, { onExisting: "update", dryRun: false }),
      );
      const [problem] = report.errors;
      if (problem !== undefined) {
        throw new CoxswainError("DEMO_FAILED", `${problem.id ?? "a host"}: ${problem.message}`);
      }
    }
  }

  /** Does `call` again while the failure may pass, a bounded number of times. */
  async #persist<Result>(call: () => Promise<Result>): Promise<Result> {
    for (let tryCount = 1; ; tryCount++) {
      try {
        return await call();
      } catch (error) {
        this.#signal.throwIfAborted();
        if (!isCoxswainError(error) || !error.retryable || tryCount === triesMax) throw error;
        await this.#context.clock.sleep(pollIntervalMs * tryCount, this.#signal);
      }
    }
  }

  #spawn(name: string, entry: string, args: readonly string[]): DemoChild {
    return new DemoChild({
      name,
      entry: new URL(entry, import.meta.url),
      args,
      logPath: join(this.plan.logDir, `${name}.log`),
      env: childEnv(this.#context.env),
    });
  }

  #storeFlags(): string[] {
    return ["--store=dynamodb", `--store-endpoint=${this.#store.endpoint}`];
  }

  #failWithNodeLogs(): never {
    const [first] = this.#nodes.values();
    if (first !== undefined) assertRunning(first);
    throw new CoxswainError("DEMO_FAILED", messageOf("no node runs"));
  }
}

/** True once `nodesCount` members are active and each has told its counts. */
function isWhole({ view, missing }: StatusView, nodesCount: number): boolean {
  const active = view.members.filter(({ state }) => state === "active");
  return active.length === nodesCount && view.members.length === nodesCount && missing.length === 0;
}
