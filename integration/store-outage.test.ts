import { afterEach, describe, expect, it } from "vitest";
import { startEmbeddedStore, type EmbeddedStore } from "../src/store/embedded-store.ts";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { callApi, eventually, TestCluster } from "./test-cluster.ts";

const outageMs = 10_000;

describe("an outage of the store", () => {
  let cluster: TestCluster | undefined;
  let store: EmbeddedStore | undefined;
  let dir = "";
  afterEach(async () => {
    await cluster?.stop();
    await store?.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it("evicts nobody, keeps pushing what is known, and heals by itself", async () => {
    dir = await mkdtemp(join(tmpdir(), "coxswain-store-"));
    store = await startEmbeddedStore({ dir });
    const { endpoint } = store;
    cluster = await TestCluster.start({
      nodes: 3,
      storeEndpoint: endpoint,
      flags: ["--sweep-interval", "2s", "--push-deadline", "1s"],
    });
    const node = cluster.node("node-1");
    await cluster.addHosts(12, node.apiUrl);
    const first = await cluster.rollOut(node.apiUrl, "routes.json", "before");
    await eventually("the first release is everywhere", 20_000, async () =>
      (await cluster?.rollout(node.apiUrl, first.id))?.state === "complete" ? true : undefined,
    );

    const before = await callApi(node.apiUrl, "GET", "/v1/placement");

    await store.stop();
    await sleep(outageMs);
    const refused = await callApi(node.apiUrl, "PUT", "/v1/hosts/other", {
      address: "http://127.0.0.1:1",
    });
    expect(refused).toMatchObject({ status: 503, body: { error: { code: "STORE_UNAVAILABLE" } } });
    const ready = await callApi(node.apiUrl, "GET", "/readyz");
    expect(ready.body).toMatchObject({ isReady: true, isStoreReachable: false });
    // Known hosts are still visited: the last contact is younger than the outage.
    const seen = await cluster.host(node.apiUrl, "host-1");
    expect(Date.now() - Date.parse(seen.lastContact ?? "")).toBeLessThan(outageMs / 2);

    store = await startEmbeddedStore({ dir, port: Number(new URL(endpoint).port) });
    await cluster.settled(3);
    const second = await cluster.rollOut(node.apiUrl, "routes.json", "after");
    await eventually("the second release is everywhere", 20_000, async () =>
      (await cluster?.rollout(node.apiUrl, second.id))?.state === "complete" ? true : undefined,
    );
    for (const { log } of cluster.nodes) expect(log).not.toContain("marked for eviction");
    const after = await callApi(node.apiUrl, "GET", "/v1/placement");
    expect(after.body).toEqual(before.body);
  });
});
