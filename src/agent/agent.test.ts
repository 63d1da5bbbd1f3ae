import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import { helloSchema, syncPath, type SyncReply } from "../protocol/sync.ts";
import { createAgent, type Agent, type AgentOptions } from "./agent.ts";
import { helloBackoffMs } from "./dial-driver.ts";
import { runAgentCommand } from "./agent-command.ts";
import { createHelloClient, type HelloOutcome } from "./hello-client.ts";
import { fullSync, shortSync, type BuiltSync } from "./sync-builder.ts";

let folder = "";
const agents: Agent[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-agent-"));
});
afterEach(async () => {
  for (const agent of agents.splice(0)) await agent.stop();
  await rm(folder, { recursive: true, force: true });
});

function agentWith(overrides: Partial<AgentOptions> = {}): Agent {
  const agent = createAgent({
    host: "h1",
    cluster: "c1",
    modes: ["dial"],
    listen: { host: "127.0.0.1", port: 0 },
    nodes: [],
    targets: { folder, listed: new Map(), acceptUnlisted: true },
    workingFolder: folder,
    random: createRandom("agent"),
    ...overrides,
  });
  agents.push(agent);
  return agent;
}

async function post(agent: Agent, { headers, body }: BuiltSync): Promise<SyncReply> {
  const response = await fetch(new URL(syncPath, agent.address), {
    method: "POST",
    headers: { ...headers, connection: "close" },
    body: JSON.stringify(body),
  });
  return (await response.json()) as SyncReply;
}

describe("an agent", () => {
  test("applies a sync from the network, keeps it over a restart, with a new boot id", async () => {
    const agent = agentWith();
    await agent.start();
    const reply = await post(agent, fullSync("1.4.2", { "a/b.conf": "one" }));
    expect(reply.manifest).toBe(agent.held().manifest);
    expect(reply.agent).toMatch(/^coxswain\/\d+\.\d+\.\d+/);
    expect(Object.keys(reply.state ?? {})).toEqual([
      "uptimeSeconds",
      "loadAverage",
      "freeMemoryBytes",
      "version",
    ]);
    await agent.stop();
    expect(agent.address).toBeUndefined();
    const again = agentWith({ random: createRandom("another start") });
    await again.start();
    expect(again.held()).toEqual({ ...agent.held(), boot: again.held().boot });
    expect(again.held().boot).not.toBe(reply.boot);
    expect(await readFile(join(folder, "configs/a/b.conf"), "utf8")).toBe("one");
  });

  test("shares its folder with no other", async () => {
    await agentWith().start();
    await expect(agentWith().start()).rejects.toMatchObject({ code: "AGENT_LOCKED" });
  });

  test("that cannot start leaves no lock behind", async () => {
    await writeFile(join(folder, "state"), "damaged");
    await expect(agentWith().start()).rejects.toMatchObject({ code: "AGENT_STATE_CORRUPT" });
    expect(await readdir(folder)).toEqual(["state"]);
  });

  test("reports the state of its command and of the program around it", async () => {
    const agent = agentWith({
      stateCommand: { argv: ["echo", '{"queue":7}'], timeoutMs: 5_000, refreshMs: 60_000 },
    });
    await agent.start();
    await expect
      .poll(async () => (await post(agent, shortSync("1.1.1", {}))).state)
      .toMatchObject({ custom: { queue: 7 } });
    await agent.stop();
    const embedded = agentWith({
      stateCommand: { argv: ["false"], timeoutMs: 5_000, refreshMs: 60_000 },
      reportState: () => ({ role: "edge" }),
    });
    await embedded.start();
    await expect
      .poll(async () => (await post(embedded, shortSync("1.1.1", {}))).state)
      .toMatchObject({ custom: { role: "edge" }, customError: "exit code 1" });
  });

  test("is small: many fit into one process", async () => {
    const many = Array.from({ length: 100 }, (_, index) =>
      agentWith({
        host: `h${index}`,
        targets: { folder: join(folder, String(index)), listed: new Map(), acceptUnlisted: true },
      }),
    );
    await Promise.all(many.map((agent) => agent.start()));
    expect(new Set(many.map(({ address }) => address)).size).toBe(100);
    await Promise.all(many.map((agent) => agent.stop()));
  });
});

/** An agent on virtual time whose nodes answer what `answer` says. */
async function helloing(answer: (node: string, count: number) => HelloOutcome) {
  const clock = new ManualClock();
  const said: { node: string; atMs: number }[] = [];
  const agent = agentWith({
    clock,
    nodes: ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"],
    sayHello: async (node, hello) => {
      expect(helloSchema.parse(hello)).toMatchObject({ host: "h1" });
      said.push({ node, atMs: clock.monotonicMs() });
      return answer(node, said.length);
    },
  });
  await agent.start();
  return { clock, said, agent };
}

describe("hello", () => {
  test("goes to the nodes in turn with growing pauses until one hears it", async () => {
    const { clock, said } = await helloing((_node, count) =>
      count < 7 ? { kind: "unreachable", message: "ECONNREFUSED" } : { kind: "heard" },
    );
    await clock.advance(150_000);
    expect(said.length).toBe(7);
    expect(new Set(said.slice(0, 3).map(({ node }) => node)).size).toBe(3);
    expect(said[3]?.node).toBe(said[0]?.node);
    expect(said[0]?.atMs).toBeLessThanOrEqual(1_000);
  });

  test("comes back no sooner than a busy node asks", async () => {
    const { clock, said } = await helloing((_node, count) =>
      count === 1 ? { kind: "busy", retryAfterMs: 30_000 } : { kind: "heard" },
    );
    await clock.advance(40_000);
    expect(said.length).toBe(2);
    expect((said[1]?.atMs ?? 0) - (said[0]?.atMs ?? 0)).toBeGreaterThanOrEqual(30_000);
  });

  test("is said again after a long quiet, and not while syncs come", async () => {
    const { clock, said, agent } = await helloing(() => ({ kind: "heard" }));
    for (let minute = 0; minute < 20; minute++) {
      await clock.advance(60_000);
      await agent.core.handleSync(shortSync("1.1.1", {}));
    }
    expect(said.length).toBe(1);
  });

  test("at a capped rate while nobody syncs", async () => {
    const { clock, said } = await helloing(() => ({ kind: "heard" }));
    await clock.advance(60 * 60_000);
    expect(said.length).toBeGreaterThanOrEqual(16);
    expect(said.length).toBeLessThanOrEqual(21);
  });

  test("no timer is left after stop", async () => {
    const { clock, agent } = await helloing(() => ({ kind: "unreachable", message: "" }));
    await clock.advance(5_000);
    await agent.stop();
    expect(clock.timerCount).toBe(0);
  });

  test("property: the pause stays between nothing and a minute", () => {
    fc.assert(
      fc.property(fc.nat(), fc.double({ min: 0, max: 1, noNaN: true }), (attempt, random) => {
        const delayMs = helloBackoffMs(attempt, random);
        expect(delayMs).toBeGreaterThanOrEqual(0);
        expect(delayMs).toBeLessThanOrEqual(60_000);
      }),
    );
  });

  test.each([
    [204, {}, { kind: "heard" }],
    [503, { "retry-after": "7" }, { kind: "busy", retryAfterMs: 7_000 }],
    [503, { "retry-after": "999999" }, { kind: "busy", retryAfterMs: 300_000 }],
    [503, {}, { kind: "refused", status: 503 }],
    [403, {}, { kind: "refused", status: 403 }],
  ])("a node's %i %j is understood", async (status, headers, outcome) => {
    const seen: unknown[] = [];
    const server = createServer((request, response) => {
      seen.push([request.method, request.url, request.headers["coxswain-cluster"]]);
      response.writeHead(status, headers).end();
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    const port = typeof address === "object" ? address?.port : 0;
    const sayHello = createHelloClient({ clock: systemClock, cluster: "c1" });
    const hello = { host: "h1", boot: "b", fence: "0.0.0", manifest: `sha256:${"0".repeat(64)}` };
    const { signal } = new AbortController();
    expect(await sayHello(`http://127.0.0.1:${port}`, hello, signal)).toEqual(outcome);
    expect(seen).toEqual([["POST", "/coxswain/v1/hello", "c1"]]);
    await new Promise((resolve) => server.close(resolve));
    expect(await sayHello(`http://127.0.0.1:${port}`, hello, signal)).toMatchObject({
      kind: "unreachable",
    });
  });
});

describe("the command", () => {
  test("listens, says so in one line, and ends with 0 at SIGTERM", async () => {
    const file = join(folder, "agent.yaml");
    await writeFile(file, "cluster: c1\ndir: state\nlisten: 127.0.0.1:0\nhost: from-file\n");
    const written: string[] = [];
    const write = process.stdout.write.bind(process.stdout);
    process.stdout.write = (text: string) => written.push(text) > 0;
    try {
      const code = runAgentCommand({ configFile: file, host: "from-flag", logLevel: "silent" });
      await expect.poll(() => written.length).toBe(1);
      expect(written[0]).toMatch(
        /^agent from-flag listens on http:\/\/127\.0\.0\.1:\d+ and keeps its state in \S+\/state\n$/,
      );
      process.emit("SIGTERM");
      expect(await code).toBe(0);
    } finally {
      process.stdout.write = write;
    }
    expect(process.listenerCount("SIGTERM")).toBe(0);
  });

  test("ends with the registry's exit code and advice where it cannot start", async () => {
    const written: string[] = [];
    const write = process.stderr.write.bind(process.stderr);
    process.stderr.write = (text: string) => written.push(text) > 0;
    try {
      expect(await runAgentCommand({ host: "h1", dir: folder })).toBe(78);
    } finally {
      process.stderr.write = write;
    }
    expect(written.join("")).toMatch(/^AGENT_CONFIG_INVALID: Expected `cluster` to be/);
  });
});
