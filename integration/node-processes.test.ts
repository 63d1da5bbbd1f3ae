import { afterEach, expect, it } from "vitest";
import { TestCluster } from "./test-cluster.ts";

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

it("one command runs several members, and one signal drains them all", async () => {
  cluster = await TestCluster.start({ nodes: 0 });
  const node = await cluster.startNode("edge-a", "--processes", "2");
  await cluster.settled(2);
  const watcher = await cluster.startNode("watcher");
  await cluster.settled(3);
  node.signal("SIGTERM");
  expect(await node.ended()).toBe(0);
  await cluster.settled(1, watcher);
});
