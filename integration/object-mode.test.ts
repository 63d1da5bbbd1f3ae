import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { createAgent, type Agent } from "../src/agent/agent.ts";
import { resolveAgentConfig, type RawAgentConfig } from "../src/agent/config-file.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { silentLogger } from "../src/kernel/log.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { DirectoryStore } from "../src/objects/directory-store.ts";
import {
  contentKey,
  decodePointer,
  decodeStatus,
  encodePointer,
  pointerKey,
  statusKey,
  type HostPointer,
} from "../src/objects/object-layout.ts";
import { bucket, credentials, startS3, type S3Fixture } from "../src/objects/s3-fixture.ts";
import { S3Store } from "../src/objects/s3-store.ts";
import { digestOf, manifestDigestOf, type Digest } from "../src/protocol/digest.ts";
import { ObjectOffers } from "../src/push/object-offers.ts";
import { callApi, eventually, TestCluster } from "./test-cluster.ts";

const region = "us-east-1";
const cluster = "coxswain";
const path = "app.conf";

const heldBy = (agent: Agent) => agent.held().configs.find(({ name }) => name === path)?.digest;

/** An agent with a folder of its own that knows no node. */
async function startAlone(dir: string, config: RawAgentConfig, warnings: string[] = []) {
  const common = { cluster, modes: ["object"], dir, listen: "127.0.0.1:0" };
  const settings = await resolveAgentConfig({ ...common, ...config }, dir);
  const warn = (fields: object) => void warnings.push(JSON.stringify(fields));
  const log = { ...silentLogger, warn, child: () => log };
  const agent = createAgent({ ...settings, log });
  await agent.start();
  return agent;
}

async function importHosts(api: string, hosts: readonly object[]): Promise<void> {
  const lines = hosts.map((host) => JSON.stringify(host)).join("\n");
  const { status, body } = await callApi(api, "POST", "/v1/hosts", lines);
  if (status !== 200) throw new Error(`import: ${JSON.stringify(body)}`);
}

describe("hosts that read from S3", () => {
  let server: S3Fixture;
  let running: TestCluster;
  let place: RawAgentConfig;
  let objects: S3Store;
  let folder = "";
  let digest: string;
  const alone: Agent[] = [];

  beforeAll(async () => {
    vi.stubEnv("AWS_ACCESS_KEY_ID", credentials.accessKeyId);
    vi.stubEnv("AWS_SECRET_ACCESS_KEY", credentials.secretAccessKey);
    server = await startS3();
    folder = await mkdtemp(join(tmpdir(), "coxswain-object-mode-"));
    const url = `s3://${bucket}/fleet`;
    place = { url, endpoint: server.endpoint, region };
    const { endpoint } = server;
    objects = new S3Store({ bucket, prefix: "fleet", endpoint, region, credentials }, systemClock);
    const flags = { "--objects": url, "--objects-endpoint": endpoint, "--objects-region": region };
    running = await TestCluster.start({
      nodes: 1,
      flags: [...Object.entries(flags).flat(), "--object-poll", "1s"],
      env: {
        AWS_ACCESS_KEY_ID: credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      },
    });
  });
  afterAll(async () => {
    await Promise.all(alone.map((agent) => agent.stop()));
    await running.stop();
    objects.close();
    await server.stop();
    await rm(folder, { recursive: true, force: true });
    vi.unstubAllEnvs();
  });

  const pointerOf = async (host: string): Promise<HostPointer> => {
    const found = await objects.get(pointerKey(cluster, host), { bytesMax: 4096 });
    const pointer =
      found.kind === "value" ? decodePointer(found.bytes, { cluster, host }) : found.kind;
    if (typeof pointer === "string") throw new Error(pointer);
    return pointer;
  };

  it("hold a rollout, are counted by their reports, and leave dialled hosts as they were", async () => {
    await running.startAgent("reader", { modes: ["object"], object: place });
    const web = { url: `${server.endpoint}/${bucket}/fleet` };
    await running.startAgent("web-reader", { modes: ["object"], object: web });
    const dialled = await running.startAgent("both");
    const api = running.nodes[0]?.apiUrl ?? "";
    await importHosts(api, [
      { id: "reader", mode: "object" },
      { id: "web-reader", mode: "object" },
      { id: "both", mode: ["dial", "object"], address: dialled.address },
    ]);
    const rollout = await running.rollOut(api, path, "from S3");
    digest = rollout.digest;
    await eventually("all three are counted as applied", 15_000, async () => {
      const { counts } = await running.rollout(api, rollout.id);
      return counts?.applied === 3 ? true : undefined;
    });
    expect([...running.held(path).values()]).toEqual([digest, digest, digest]);
    const { reachability } = await running.host(api, "reader");
    expect(reachability).toBe("ok");
    expect(await pointerOf("both")).toMatchObject({ manifest: dialled.held().manifest });
  });

  it("take their state from there with an empty disk and no node in sight", async () => {
    for (const node of running.nodes) await node.stop();
    for (const agent of running.agents.values()) await agent.stop();
    const started = ["reader", "both"].map((host) =>
      startAlone(join(folder, host), { host, object: place }),
    );
    alone.push(...(await Promise.all(started)));
    await eventually("both hold it again", 10_000, async () =>
      alone.every((agent) => heldBy(agent) === digest) ? true : undefined,
    );
    expect(alone.map((agent) => agent.core.lastSyncAtMs("dial"))).toEqual([undefined, undefined]);
    const left = await eventually("a report lies in the bucket", 10_000, async () => {
      const found = await objects.get(statusKey(cluster, "both"), { bytesMax: 70_000 });
      return found.kind === "value"
        ? decodeStatus(found.bytes, { cluster, host: "both" })
        : undefined;
    });
    expect(left).toMatchObject({ status: 200, manifest: alone[1]?.held().manifest });
  });

  it("refuse a pointer that goes back and a content that was cut off", async () => {
    const warnings: string[] = [];
    await alone.shift()?.stop();
    const pointer = await pointerOf("reader");
    const config = { host: "reader", object: place };
    const lay = (fence: HostPointer["fence"]) =>
      objects.put(pointerKey(cluster, "reader"), encodePointer({ ...pointer, fence }));
    await lay({ ...pointer.fence, fleet: pointer.fence.fleet - 1 });
    alone.unshift(await startAlone(join(folder, "reader"), config, warnings));
    await eventually("the pointer is refused", 5_000, async () =>
      warnings.some((text) => text.includes("Expected a fence of at least")) ? true : undefined,
    );
    const contentAt = contentKey(cluster, digest as Digest);
    await objects.put(contentAt, Buffer.from("from S"));
    await lay({ ...pointer.fence, fleet: pointer.fence.fleet + 1 });
    const cut: string[] = [];
    alone.push(await startAlone(join(folder, "empty"), config, cut));
    await eventually("the content is refused", 5_000, async () =>
      cut.some((text) => text.includes("the content of app.conf is damaged")) ? true : undefined,
    );
    expect(alone.at(-1)?.held().fence).toBeUndefined();
    await objects.put(contentAt, Buffer.from("from S3"));
    await eventually("the whole content is taken", 10_000, async () =>
      alone.every((agent) => heldBy(agent) === digest) ? true : undefined,
    );
  });
});

describe("a host that reads a folder", () => {
  it("takes what a node laid there, each fence in turn", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coxswain-object-folder-"));
    const objects = new DirectoryStore(join(folder, "objects"), systemClock);
    const contents = new Map<Digest, Buffer>();
    const ports = {
      objects,
      clock: systemClock,
      log: silentLogger,
      metrics: createMetrics(),
      contents: async (wanted: Digest) => contents.get(wanted) ?? Buffer.alloc(0),
      view: () => 1,
      fleetHosts: () => 1,
    };
    const offers = new ObjectOffers(ports, { cluster, node: "n1", pollMs: 1_000 });
    const object = { url: pathToFileURL(join(folder, "objects")).href };
    const agent = await startAlone(join(folder, "agent"), { host: "reader", object });
    try {
      for (const [index, content] of ["one", "two".repeat(10_000)].entries()) {
        const digest = digestOf(Buffer.from(content));
        contents.set(digest, Buffer.from(content));
        const configs = [{ name: path, digest }];
        const manifest = { digest: manifestDigestOf(configs), configs };
        const fence = { generation: 1, fleet: index, host: 1 };
        const route = { host: "reader", modes: ["object"], fence, manifest } as const;
        expect(await offers.offer(route)).toEqual({ kind: "offered" });
        await eventually(`release ${index} is held`, 10_000, async () =>
          heldBy(agent) === digest ? true : undefined,
        );
      }
    } finally {
      await agent.stop();
      await offers.stop();
      await rm(folder, { recursive: true });
    }
  });
});

describe("a host that reaches no node", () => {
  it("is counted by what it leaves in the folder, whatever damage lies there meanwhile", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coxswain-object-alone-"));
    const url = pathToFileURL(join(folder, "objects")).href;
    const objects = new DirectoryStore(join(folder, "objects"), systemClock);
    const flags = { "--objects": url, "--object-poll": "1s" };
    const sweeps = { "--sweep-interval": "2s", "--push-deadline": "1s" };
    const running = await TestCluster.start({
      nodes: 1,
      flags: Object.entries({ ...flags, ...sweeps }).flat(),
    });
    const agents: Agent[] = [];
    try {
      const api = running.nodes[0]?.apiUrl ?? "";
      await importHosts(api, [{ id: "alone", mode: "object" }]);
      const key = statusKey(cluster, "alone");
      await objects.put(key, Buffer.from('{"cluster":"coxswain","host":"alone"'));
      const first = await running.rollOut(api, path, "one");
      const applied = (id: string) =>
        eventually("the host is counted as applied", 20_000, async () => {
          const { counts } = await running.rollout(api, id);
          return counts?.applied === 1 ? true : undefined;
        });
      agents.push(await startAlone(join(folder, "agent"), { host: "alone", object: { url } }));
      await applied(first.id);
      const seen = await running.host(api, "alone");
      expect(seen).toMatchObject({ reachability: "ok", via: "object", sync: "applied" });
      const second = await running.rollOut(api, path, "two");
      await applied(second.id);
      expect(agents.map(heldBy)).toEqual([second.digest]);
    } finally {
      await Promise.all(agents.map((agent) => agent.stop()));
      await running.stop();
      await rm(folder, { recursive: true });
    }
  });
});
