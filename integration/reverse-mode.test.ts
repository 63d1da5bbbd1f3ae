import { randomBytes } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostKeyOf } from "../src/protocol/host-key.ts";
import { LoadBalancer } from "./load-balancer.ts";
import { callApi, eventually, TestCluster, type TestNode } from "./test-cluster.ts";

const hostCount = 12;
const secret = randomBytes(32);

let cluster: TestCluster;
let balancer: LoadBalancer;
let flags: string[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start({ nodes: 0 });
  const file = join(cluster.dir, "cluster.secret");
  await writeFile(file, secret, { mode: 0o600 });
  flags = ["--host-secret-file", file, "--ping-interval", "1s", "--sweep-interval", "1h"];
  const slots = ["node-1", "node-2", "node-3"];
  await Promise.all(slots.map((slot) => cluster.startNode(slot, ...flags)));
  await cluster.settled(slots.length);
  balancer = await LoadBalancer.open(() => living().map(({ fleetUrl }) => fleetUrl));
});

afterAll(async () => {
  await balancer.stop();
  await cluster.stop();
});

function living(): TestNode[] {
  return cluster.nodes.filter(({ isRunning }) => isRunning);
}

/** Agents that only reverse, without an address; `nodes` as each is configured. */
async function addHosts(name: string, nodes: readonly string[], isDirect = false): Promise<void> {
  const ids = Array.from({ length: hostCount }, (_, index) => `${name}-${index + 1}`);
  const lines = ids.map((id) => JSON.stringify({ id, mode: "reverse" }));
  const reply = await callApi(api(), "POST", "/v1/hosts", lines.join("\n"));
  if (reply.status !== 200) throw new Error(JSON.stringify(reply.body));
  for (const id of ids) await startAgent(id, hostKeyOf(secret, id), nodes, isDirect);
}

async function startAgent(
  id: string,
  key: Uint8Array,
  nodes: readonly string[],
  direct = false,
): Promise<void> {
  const keyFile = join(cluster.dir, `${id}.key`);
  await writeFile(keyFile, Buffer.from(key).toString("hex"));
  await cluster.startAgent(id, { modes: ["reverse"], keyFile, nodes, direct });
}

function api(): string {
  return living()[0]?.apiUrl ?? "";
}

async function rollOutToAll(content: string, withinMs: number): Promise<void> {
  const { digest } = await cluster.rollOut(api(), "app.conf", content);
  await untilAllHold(digest, withinMs);
}

async function untilAllHold(digest: string, withinMs: number): Promise<void> {
  await eventually(`all hosts hold ${digest}`, withinMs, async () =>
    [...cluster.held("app.conf").values()].every((held) => held === digest) ? true : undefined,
  );
}

/** The sum of one metric's samples whose line begins with `name`. */
async function metric(node: TestNode, name: string): Promise<number> {
  const text = await (await fetch(`${node.apiUrl}/metrics`)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(name))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
}

async function sumOf(nodes: readonly TestNode[], name: string): Promise<number> {
  const counts = await Promise.all(nodes.map((node) => metric(node, name)));
  return counts.reduce((sum, count) => sum + count, 0);
}

async function busiest(): Promise<TestNode> {
  const links = await Promise.all(
    living().map(async (node) => ({ node, count: await metric(node, "coxswain_reverse_links ") })),
  );
  const [first] = links.toSorted((left, right) => right.count - left.count);
  if (first === undefined || first.count === 0) throw new Error("no node holds a connection");
  return first.node;
}

describe("hosts that open their connections", () => {
  it("go to their owners where they can, so that nothing is relayed", async () => {
    const nodes = cluster.nodes.map(({ fleetUrl }) => fleetUrl);
    await addHosts("direct", nodes, true);
    await rollOutToAll("one", 20_000);
    for (const node of cluster.nodes) {
      expect(await metric(node, "coxswain_relays_total")).toBe(0);
      await eventually("every host is attached to its owner", 5_000, async () => {
        const links = await metric(node, "coxswain_reverse_links ");
        // Counted once a second.
        return links === (await metric(node, "coxswain_hosts_owned ")) ? true : undefined;
      });
    }
  });

  it("are reached wherever a load balancer put them, and once", async () => {
    await addHosts("host", [balancer.url]);
    await rollOutToAll("two", 20_000);
    expect(await sumOf(living(), "coxswain_reverse_links ")).toBe(2 * hostCount);
    const relayed = await sumOf(living(), 'coxswain_relays_total{outcome="reply"}');
    expect(relayed).toBeGreaterThan(0);
    const host = await cluster.host(api(), "host-1");
    expect(host).toMatchObject({ address: "", reachability: "ok", sync: "applied" });
  });

  it("are refused with another host's key, and are back with their own", async () => {
    const unproven = 'coxswain_attaches_total{outcome="unproven"}';
    await cluster.agents.get("host-1")?.stop();
    await startAgent("host-1", hostKeyOf(secret, "host-2"), [balancer.url]);
    await eventually("the wrong proof is refused", 10_000, async () =>
      (await sumOf(living(), unproven)) > 0 ? true : undefined,
    );
    expect(await sumOf(living(), "coxswain_reverse_links ")).toBe(2 * hostCount - 1);
    await cluster.agents.get("host-1")?.stop();
    await startAgent("host-1", hostKeyOf(secret, "host-1"), [balancer.url]);
    await rollOutToAll("three", 20_000);
  });

  it("are asked to move by a node that leaves, and miss nothing", async () => {
    const leaving = await busiest();
    const others = living().filter((node) => node !== leaving);
    const cut = 'coxswain_pushes_total{lane="change",outcome="ambiguous"}';
    const before = await sumOf(others, cut);
    leaving.signal("SIGTERM");
    // While it leaves its hosts are reached all the same.
    const { digest } = await cluster.rollOut(others[0]?.apiUrl ?? "", "app.conf", "four");
    await untilAllHold(digest, 10_000);
    expect(await leaving.ended()).toBe(0);
    expect(await sumOf(others, "coxswain_reverse_links ")).toBe(2 * hostCount);
    expect(await sumOf(others, cut)).toBe(before);
    await cluster.startNode("node-4", ...flags);
    await cluster.settled(3, others[0]);
  });

  it("are current within 10 s after the node that held them was killed", async () => {
    const victim = await busiest();
    victim.signal("SIGKILL");
    await victim.ended();
    const startMs = performance.now();
    await rollOutToAll("five", 30_000);
    expect(performance.now() - startMs).toBeLessThan(10_000);
    expect(await sumOf(living(), "coxswain_reverse_links ")).toBe(2 * hostCount);
  });
});
