/**
 * Hosts that poll, with real processes: three nodes with a secret, agents that ask any of them, a proxy for
 * the dials of one host.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { request } from "undici";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Agent } from "../src/agent/agent.ts";
import { type Logger, silentLogger } from "../src/kernel/log.ts";
import { bearerOf, hostKeyOf } from "../src/protocol/host-key.ts";
import { manifestPath, reportPath } from "../src/protocol/poll.ts";
import { TcpProxy } from "./tcp-proxy.ts";
import { callApi, eventually, TestCluster } from "./test-cluster.ts";

const pollers = ["p1", "p2", "p3", "p4", "p5", "p6"];
const secret = randomBytes(32);
const patienceMs = 30_000;

let folder: string;
let cluster: TestCluster;
let api: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-poll-"));
  const secretFile = join(folder, "secret");
  await writeFile(secretFile, secret);
  cluster = await TestCluster.start({
    nodes: 3,
    flags: [
      `--host-secret-file=${secretFile}`,
      "--poll-min=300ms",
      "--polls-per-second=40",
      "--sweep-interval=1s",
      "--push-deadline=500ms",
    ],
  });
  api = cluster.node("node-1").apiUrl;
  for (const id of pollers) await addHost(id, { mode: ["poll"] }, { modes: ["poll"] });
});

afterAll(async () => {
  await cluster.stop();
  await rm(folder, { recursive: true, force: true });
});

async function register(id: string, record: object): Promise<void> {
  const reply = await callApi(api, "PUT", `/v1/hosts/${id}`, record);
  expect(reply.status).toBeLessThan(300);
}

async function addHost(
  id: string,
  record: object,
  config: Parameters<TestCluster["startAgent"]>[1],
  options: Parameters<TestCluster["startAgent"]>[2] = {},
): Promise<Agent> {
  const keyFile = join(folder, `${id}.key`);
  await writeFile(keyFile, hostKeyOf(secret, id).toString("hex"));
  await register(id, record);
  return cluster.startAgent(id, { keyFile, ...config }, options);
}

/** Puts `content` on the hosts of `selector`; resolves when the counts say so, with the digest. */
async function rolledOut(content: string, total: number): Promise<string> {
  const { id, digest } = await cluster.rollOut(api, "app.conf", content);
  await eventually(`${content} on ${total} hosts`, patienceMs, async () => {
    const { counts } = await cluster.rollout(api, id);
    return counts?.applied === total && counts.total === total ? true : undefined;
  });
  return digest;
}

/** One poll by hand. */
async function poll(nodeUrl: string, id: string, headers: Record<string, string> = {}) {
  const reply = await request(nodeUrl + manifestPath(id), {
    headers: {
      "coxswain-cluster": "coxswain",
      authorization: bearerOf(hostKeyOf(secret, id)),
      ...headers,
    },
  });
  const text = await reply.body.text();
  return { status: reply.statusCode, headers: reply.headers, text };
}

test("a rollout reaches hosts that only poll, through whichever node they ask, and is counted", async () => {
  const digest = await rolledOut("one", pollers.length);
  expect(new Set(cluster.held("app.conf").values())).toEqual(new Set([digest]));
  const { reachability, sync, state } = await cluster.host(api, "p1");
  expect({ reachability, sync }).toEqual({ reachability: "ok", sync: "applied" });
  expect(state).toMatchObject({ uptimeSeconds: expect.any(Number) });
});

test("a caller without the proof of the host learns and tells nothing", async () => {
  const { fleetUrl } = cluster.node("node-2");
  const wrong = { authorization: bearerOf(hostKeyOf(secret, "p2")) };
  expect(await poll(fleetUrl, "p1", wrong)).toMatchObject({ status: 401 });
  expect(await poll(fleetUrl, "p1", { authorization: "" })).toMatchObject({ status: 401 });
  const report = await request(fleetUrl + reportPath, {
    method: "POST",
    headers: {
      ...wrong,
      "content-type": "application/json",
      "coxswain-cluster": "coxswain",
      "coxswain-host": "p1",
      "coxswain-status": "200",
    },
    body: "{}",
  });
  await report.body.dump();
  expect(report.statusCode).toBe(401);
});

test("a host whose record has no mode to poll is not answered, however well it proves itself", async () => {
  await register("dialled", { address: "http://127.0.0.1:9", mode: ["dial"] });
  const statuses = await Promise.all(
    cluster.nodes.map(async ({ fleetUrl }) => (await poll(fleetUrl, "dialled")).status),
  );
  expect(statuses).toEqual([404, 404, 404]);
  await callApi(api, "DELETE", "/v1/hosts/dialled");
});

test("polls go on, and find changes, while a node is killed and comes back", async () => {
  cluster.node("node-3").signal("SIGKILL");
  const two = await rolledOut("two", pollers.length);
  expect(new Set(cluster.held("app.conf").values())).toEqual(new Set([two]));
  await cluster.startNode("node-3");
  await cluster.settled(3);
  await rolledOut("three", pollers.length);
});

test("a herd of pollers is shed with a time to come back, and all of it is served in the end", async () => {
  const { fleetUrl } = cluster.node("node-1");
  const statuses: number[] = [];
  const waits: number[] = [];
  await Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      const id = pollers[index % pollers.length] ?? "";
      for (let attempt = 0; attempt < 20; attempt++) {
        const { status, headers } = await poll(fleetUrl, id, { "coxswain-timeout-ms": "400" });
        statuses.push(status);
        if (status === 200) return;
        waits.push(Number(headers["retry-after"]));
        await sleep(Number(headers["retry-after"]) * 1_000);
      }
    }),
  );
  expect(statuses.filter((status) => status === 200)).toHaveLength(100);
  expect(new Set(statuses)).toEqual(new Set([200, 503]));
  expect(Math.min(...waits)).toBeGreaterThanOrEqual(1);
  // Whoever was told to wait was mostly served then: the herd does not go round in circles.
  expect(waits.length).toBeLessThan(250);
  await rolledOut("four", pollers.length);
});

test("a host whose dials are cut goes on by polling, and is dialled alone once that works again", async () => {
  const fallback = { returnAfterMs: 2_000, fallbackAfterMs: { dial: 4_000, poll: 4_000 } };
  const record = { address: "http://127.0.0.1:9", mode: ["dial", "poll"] };
  const modes = { modes: ["dial", "poll"] };
  const said: string[] = [];
  const note = (_fields: object, message: string): void => void said.push(message);
  const log: Logger = { ...silentLogger, info: note, child: () => log };
  const agent = await addHost("both", record, modes, { fallback, quietAfterMs: 12_000, log });
  const proxy = await TcpProxy.open({
    host: "127.0.0.1",
    port: Number(new URL(agent.address ?? "").port),
  });
  try {
    await register("both", { address: proxy.url, mode: ["dial", "poll"] });
    await rolledOut("five", pollers.length + 1);
    expect(agent.core.lastSyncAtMs("poll")).toBeUndefined();
    proxy.cut();
    await rolledOut("six", pollers.length + 1);
    expect(agent.core.lastSyncAtMs("poll")).toBeDefined();
    await eventually("the host is not unreachable", patienceMs, async () => {
      const { reachability } = await cluster.host(api, "both");
      return reachability === "ok" ? true : undefined;
    });
    proxy.pass();
    await eventually("the host polls no more", patienceMs, async () =>
      said.includes("a better mode works again: returned") ? true : undefined,
    );
    const polledAtMs = agent.core.lastSyncAtMs("poll");
    await rolledOut("seven", pollers.length + 1);
    // A poller that still ran would ask several times in this time.
    await sleep(1_500);
    expect(agent.core.lastSyncAtMs("poll")).toBe(polledAtMs);
  } finally {
    await proxy.stop();
  }
});
