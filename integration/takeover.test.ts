import { afterEach, describe, expect, it } from "vitest";
import { eventually, TestCluster } from "./test-cluster.ts";

const hostsCount = 60;

describe("a cluster of three nodes", () => {
  let cluster: TestCluster | undefined;
  afterEach(async () => {
    await cluster?.stop();
    cluster = undefined;
  });

  it("loses nothing when the owner of many hosts is killed in the middle of a rollout", async () => {
    cluster = await TestCluster.start({ nodes: 3, flags: ["--pushes-per-second", "40"] });
    const survivor = cluster.node("node-1");
    await cluster.addHosts(hostsCount, survivor.apiUrl);
    const first = await cluster.rollOut(survivor.apiUrl, "routes.json", "first");
    await eventually("the first release is everywhere", 30_000, async () =>
      (await cluster?.rollout(survivor.apiUrl, first.id))?.state === "complete" ? true : undefined,
    );

    const second = await cluster.rollOut(survivor.apiUrl, "routes.json", "second");
    cluster.node("node-2").signal("SIGKILL");
    const view = await eventually("the second release is everywhere", 30_000, async () => {
      const rollout = await cluster?.rollout(survivor.apiUrl, second.id);
      return rollout?.state === "complete" ? rollout : undefined;
    });

    expect(view.counts).toMatchObject({ total: hostsCount, applied: hostsCount });
    expect(new Set(cluster.held("routes.json").values())).toEqual(new Set([second.digest]));
    await cluster.settled(2);
  });

  it("does not evict a node that is paused for 3 s, and its hosts stay its own", async () => {
    cluster = await TestCluster.start({ nodes: 3 });
    const [watcher, paused] = [cluster.node("node-1"), cluster.node("node-2")];
    paused.signal("SIGSTOP");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    paused.signal("SIGCONT");
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    await cluster.settled(3);
    expect(watcher.log).not.toContain("marked for eviction");
  });

  it("replaces a frozen node, which changes nothing when it wakes and then joins again", async () => {
    cluster = await TestCluster.start({ nodes: 3 });
    const watcher = cluster.node("node-1");
    await cluster.addHosts(30, watcher.apiUrl);
    const first = await cluster.rollOut(watcher.apiUrl, "routes.json", "first");
    await eventually("the first release is everywhere", 30_000, async () =>
      (await cluster?.rollout(watcher.apiUrl, first.id))?.state === "complete" ? true : undefined,
    );

    cluster.node("node-2").signal("SIGSTOP");
    const second = await cluster.rollOut(watcher.apiUrl, "routes.json", "second");
    await eventually("the second release is everywhere", 30_000, async () =>
      (await cluster?.rollout(watcher.apiUrl, second.id))?.state === "complete" ? true : undefined,
    );
    expect(watcher.log + cluster.node("node-3").log).toContain("marked for eviction");

    cluster.node("node-2").signal("SIGCONT");
    await cluster.settled(3);
    expect(new Set(cluster.held("routes.json").values())).toEqual(new Set([second.digest]));
  });

  it("hands over without a gap when a node is told to stop", async () => {
    cluster = await TestCluster.start({ nodes: 3 });
    const watcher = cluster.node("node-1");
    await cluster.addHosts(30, watcher.apiUrl);
    const leaver = cluster.node("node-3");
    leaver.signal("SIGTERM");
    const release = await cluster.rollOut(watcher.apiUrl, "routes.json", "while leaving");
    expect(await leaver.ended()).toBe(0);
    await eventually("the release is everywhere", 10_000, async () =>
      (await cluster?.rollout(watcher.apiUrl, release.id))?.state === "complete" ? true : undefined,
    );
    await cluster.settled(2);
    expect(watcher.log).not.toContain("members are silent");
  });
});
