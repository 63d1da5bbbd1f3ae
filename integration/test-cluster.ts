/**
 * A cluster of real processes on loopback, for tests: a store, nodes started through the command line,
 * and real agents in this process. Every process is ended by its own pid.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import { createAgent, type Agent, type AgentOptions } from "../src/agent/agent.ts";
import { resolveAgentConfig, type RawAgentConfig } from "../src/agent/config-file.ts";
import type { HostView } from "../src/node/peers.ts";
import type { RolloutView } from "../src/node/operations.ts";
import { startEmbeddedStore } from "../src/store/embedded-store.ts";

const entry = new URL("../src/cli/main.ts", import.meta.url).pathname;
/** Preloaded into every process that a test starts. */
export const endWithParent = new URL("end-with-parent.ts", import.meta.url).href;
/** Patience: on a busy machine a node takes long to load. */
const startTimeoutMs = 60_000;
const pollMs = 50;

export interface ApiReply {
  readonly status: number;
  readonly body: unknown;
}

/** One call of the API; JSON in, JSON out, bytes and text passed as they are. */
export async function callApi(
  baseUrl: string,
  method: "GET" | "PUT" | "POST" | "DELETE",
  path: string,
  body?: unknown,
  timeoutMs = 10_000,
): Promise<ApiReply> {
  const isText = typeof body === "string";
  const reply = await request(baseUrl + path, {
    method,
    headersTimeout: timeoutMs,
    bodyTimeout: timeoutMs,
    ...(body === undefined
      ? {}
      : {
          headers: { "content-type": isText ? "application/octet-stream" : "application/json" },
          body: isText ? body : JSON.stringify(body),
        }),
  });
  const text = await reply.body.text();
  return { status: reply.statusCode, body: text === "" ? undefined : JSON.parse(text) };
}

/** Polls until `check` returns something; fails with the last value described. */
export async function eventually<Value>(
  what: string,
  timeoutMs: number,
  check: () => Promise<Value | undefined>,
): Promise<Value> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const value = await check();
    if (value !== undefined) return value;
    if (performance.now() > endMs) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await sleep(pollMs);
  }
}

/** One node process. */
export class TestNode {
  readonly slot: string;
  apiUrl = "";
  fleetUrl = "";
  #log = "";
  readonly #process: ChildProcess;
  readonly #exited: Promise<unknown[]>;

  constructor(slot: string, args: readonly string[], more: ClusterPlan["env"] = {}) {
    this.slot = slot;
    const env = Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !/^(COXSWAIN|AWS)_/.test(name)),
    );
    this.#process = spawn(
      process.execPath,
      [
        "--import",
        endWithParent,
        entry,
        "node",
        "--slot",
        slot,
        "--api-port",
        "0",
        "--fleet-port",
        "0",
        ...args,
      ],
      { stdio: ["pipe", "ignore", "pipe"], env: { ...env, ...more } },
    );
    this.#exited = once(this.#process, "exit");
    this.#process.stderr?.on("data", (chunk: Buffer) => {
      this.#log = (this.#log + chunk.toString()).slice(-100_000);
    });
  }

  /** JSON lines the node has logged, newest last, bounded. */
  get log(): string {
    return this.#log;
  }

  async listening(): Promise<void> {
    const found = await eventually(
      `${this.slot} listens\n${this.#log}`,
      startTimeoutMs,
      async () => {
        if (this.#process.exitCode !== null) throw new Error(`${this.slot} ended:\n${this.#log}`);
        const line = this.#log.split("\n").find((text) => text.includes('"msg":"listening"'));
        return line === undefined ? undefined : (JSON.parse(line) as Record<string, string>);
      },
    );
    this.apiUrl = found["apiUrl"] ?? "";
    this.fleetUrl = found["fleetUrl"] ?? "";
  }

  get pid(): number | undefined {
    return this.#process.pid;
  }

  get isRunning(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT" | "SIGTERM"): void {
    this.#process.kill(name);
  }

  /** Exit code, or undefined for a signal. */
  async ended(): Promise<number | undefined> {
    const [code] = await this.#exited;
    return typeof code === "number" ? code : undefined;
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    this.#process.kill("SIGKILL");
    await this.#exited;
  }
}

export interface ClusterPlan {
  readonly nodes: number;
  /** Flags for every node. */
  readonly flags?: readonly string[];
  readonly partitions?: number;
  /** URL of a store that is there already; else an embedded one is started. */
  readonly storeEndpoint?: string;
  readonly table?: string;
  /** Added to the environment of every node. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A running cluster; `stop` ends everything that it started and removes its folder. */
export class TestCluster {
  readonly nodes: TestNode[] = [];
  readonly agents = new Map<string, Agent>();
  readonly dir: string;
  readonly #storeEndpoint: string;
  readonly #plan: ClusterPlan;
  readonly #stopStore: () => Promise<void>;

  private constructor(
    plan: ClusterPlan,
    dir: string,
    endpoint: string,
    stopStore: () => Promise<void>,
  ) {
    this.#plan = plan;
    this.dir = dir;
    this.#storeEndpoint = endpoint;
    this.#stopStore = stopStore;
  }

  static async start(plan: ClusterPlan): Promise<TestCluster> {
    const dir = await mkdtemp(join(tmpdir(), "coxswain-test-"));
    const store = plan.storeEndpoint === undefined ? await startEmbeddedStore() : undefined;
    const endpoint = store?.endpoint ?? plan.storeEndpoint ?? "";
    const cluster = new TestCluster(plan, dir, endpoint, async () => store?.stop());
    try {
      // A store that has just started is slow to make its first table.
      const patience = ["--store-timeout", "20s"];
      await cluster.command("init", "--partitions", String(plan.partitions ?? 64), ...patience);
      await Promise.all(
        Array.from({ length: plan.nodes }, (_, index) => cluster.startNode(`node-${index + 1}`)),
      );
      if (plan.nodes > 0) await cluster.settled(plan.nodes);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Runs a command against the cluster's store and returns its standard output. */
  async command(...args: readonly string[]): Promise<string> {
    const child = spawn(process.execPath, [entry, ...args, ...this.#storeFlags()], {
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    let errors = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
    const [code] = await once(child, "close");
    if (code !== 0) throw new Error(`${args.join(" ")} ended with ${String(code)}: ${errors}`);
    return output;
  }

  async startNode(slot: string, ...flags: readonly string[]): Promise<TestNode> {
    const args = [...this.#storeFlags(), ...(this.#plan.flags ?? []), ...flags];
    const node = new TestNode(slot, args, this.#plan.env);
    this.nodes.push(node);
    await node.listening();
    return node;
  }

  /** The node that answers under `slot`; the newest of that name. */
  node(slot: string): TestNode {
    const node = this.nodes.findLast((candidate) => candidate.slot === slot);
    if (node === undefined) throw new Error(`no node ${slot}`);
    return node;
  }

  /** Waits until `count` members are active and have all loaded the same view. */
  async settled(count: number, asked: TestNode | undefined = this.nodes[0]): Promise<void> {
    await eventually(`${count} members agree`, startTimeoutMs, async () => {
      const { body } = await callApi(asked?.apiUrl ?? "", "GET", "/v1/members").catch(() => ({
        body: undefined,
      }));
      const { view, members } = (body ?? {}) as {
        view?: { version: number };
        members?: { state: string; viewSeen: { version: number } | null }[];
      };
      const agreed = members?.filter(
        ({ state, viewSeen }) => state === "active" && viewSeen?.version === view?.version,
      );
      return members?.length === count && agreed?.length === count ? true : undefined;
    });
  }

  /** Starts a real agent under this cluster's id with its own folder and port. */
  async startAgent(
    id: string,
    config: RawAgentConfig = {},
    options: Partial<AgentOptions> = {},
  ): Promise<Agent> {
    const dir = join(this.dir, id);
    const settings = await resolveAgentConfig(
      {
        host: id,
        cluster: "coxswain",
        dir,
        listen: "127.0.0.1:0",
        nodes: this.nodes.filter(({ fleetUrl }) => fleetUrl !== "").map(({ fleetUrl }) => fleetUrl),
        ...config,
      },
      this.dir,
    );
    const agent = createAgent({ ...settings, helloSpreadMs: 50, ...options });
    await agent.start();
    this.agents.set(id, agent);
    return agent;
  }

  /** Starts `count` agents and registers them, with a label `role=edge`. */
  async addHosts(count: number, api: string): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, index) => `host-${index + 1}`);
    for (const id of ids) await this.startAgent(id);
    const lines = ids.map((id) =>
      JSON.stringify({ id, address: this.agents.get(id)?.address, labels: { role: "edge" } }),
    );
    const reply = await callApi(api, "POST", "/v1/hosts", lines.join("\n"));
    if (reply.status !== 200) throw new Error(`import: ${JSON.stringify(reply.body)}`);
    return ids;
  }

  /** Publishes `content` and puts it on the hosts of `selector`. */
  async rollOut(
    api: string,
    config: string,
    content: string,
    selector = "",
  ): Promise<{ id: string; digest: string }> {
    const released = await callApi(api, "POST", `/v1/configs/${config}/releases`, content);
    const { digest } = released.body as { digest: string };
    const started = await callApi(api, "POST", "/v1/rollouts", { config, digest, selector });
    if (started.status !== 201) throw new Error(`rollout: ${JSON.stringify(started.body)}`);
    return { id: (started.body as RolloutView).id, digest };
  }

  async rollout(api: string, id: string): Promise<RolloutView> {
    return (await callApi(api, "GET", `/v1/rollouts/${id}`)).body as RolloutView;
  }

  async host(api: string, id: string): Promise<HostView> {
    return (await callApi(api, "GET", `/v1/hosts/${id}`)).body as HostView;
  }

  /** The digest of `config` that each running agent itself holds. */
  held(config: string): Map<string, string | undefined> {
    return new Map(
      [...this.agents].map(([id, agent]) => [
        id,
        agent.held().configs.find(({ name }) => name === config)?.digest,
      ]),
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await Promise.all([...this.agents.values()].map((agent) => agent.stop()));
    await this.#stopStore();
    await rm(this.dir, { recursive: true, force: true });
  }

  #storeFlags(): string[] {
    const { table = "coxswain" } = this.#plan;
    return ["--store-endpoint", this.#storeEndpoint, "--store-table", table];
  }
}
