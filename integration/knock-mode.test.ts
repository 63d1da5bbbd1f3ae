import { createSocket } from "node:dgram";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, it } from "vitest";
import { hostKeyOf } from "../src/protocol/host-key.ts";
import { callApi, eventually, TestCluster } from "./test-cluster.ts";

let cluster: TestCluster | undefined;
afterEach(async () => {
  await cluster?.stop();
  cluster = undefined;
});

it("a host that comes back knocks at any node and is synced at once by its owner", async () => {
  cluster = await TestCluster.start({ nodes: 0 });
  const secret = Buffer.alloc(32, 7);
  const secretFile = join(cluster.dir, "cluster.secret");
  await writeFile(secretFile, secret);
  const knockPort = await freeUdpPort();
  const flags = ["--host-secret-file", secretFile];
  const first = await cluster.startNode("node-1", ...flags, "--knock-port", String(knockPort));
  await cluster.startNode("node-2", ...flags);
  await cluster.settled(2);

  const ids = Array.from({ length: 6 }, (_, index) => `host-${index + 1}`);
  const start = async (id: string, listen: string) => {
    const keyFile = join(cluster?.dir ?? "", `${id}.key`);
    await writeFile(keyFile, hostKeyOf(secret, id).toString("hex"));
    const knockAt = [`127.0.0.1:${knockPort}`];
    return cluster?.startAgent(id, { listen, modes: ["knock"], keyFile, knockAt, nodes: [] });
  };
  for (const id of ids) {
    const agent = await start(id, "127.0.0.1:0");
    const body = { address: agent?.address, mode: "knock", labels: { role: "edge" } };
    const reply = await callApi(first.apiUrl, "PUT", `/v1/hosts/${id}`, body);
    expect(reply.status).toBe(201);
  }
  const isComplete = (id: string) => async () =>
    (await cluster?.rollout(first.apiUrl, id))?.state === "complete" ? true : undefined;
  const one = await cluster.rollOut(first.apiUrl, "routes.json", "one");
  await eventually("the first release is everywhere", 20_000, isComplete(one.id));

  // Gone long enough that their owners have backed off, then back without a hello.
  const addresses = new Map(ids.map((id) => [id, cluster?.agents.get(id)?.address ?? ""]));
  for (const id of ids) await cluster.agents.get(id)?.stop();
  const two = await cluster.rollOut(first.apiUrl, "routes.json", "two");
  await eventually("all are unreachable", 40_000, async () =>
    (await cluster?.rollout(first.apiUrl, two.id))?.counts?.unreachable === ids.length
      ? true
      : undefined,
  );
  for (const id of ids) await start(id, new URL(addresses.get(id) ?? "").host);
  await eventually("the second release is everywhere", 10_000, isComplete(two.id));
  const metrics = await (await fetch(`${first.apiUrl}/metrics`)).text();
  expect(metrics).toMatch(/coxswain_knocks_total\{outcome="(woken|passedOn)"\} [1-9]/);
});

async function freeUdpPort(): Promise<number> {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const { port } = socket.address();
  socket.close();
  await once(socket, "close");
  return port;
}
