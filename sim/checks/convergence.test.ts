import { expect, test } from "vitest";
import { parseHostId, parseHostInput } from "../../src/inventory/host.ts";
import { HostStore } from "../../src/inventory/hosts.ts";
import { partitionOf } from "../../src/ring/hash.ts";
import { controlsFor } from "../controls.ts";
import { swarmOf } from "../swarm.ts";
import { partitionsCount, World } from "../world.ts";
import { missingIn, type Core } from "./convergence.ts";

const id = parseHostId("h1");
const address = "http://10.0.0.1:9000";
const movedAddress = "http://10.9.0.1:9000";
const formMs = 20_000;
const syncMs = 15_000;
/** Above the poll of the heads, and a push. */
const foundOutMs = 20_000;

/** A cluster without faults that has synced its only host, and a client whose changes come without hints. */
async function syncedHost() {
  const world = new World(7, swarmOf(7, "pauses"), controlsFor(undefined));
  await world.create();
  for (const node of world.nodes.values()) node.start();
  const pass = (durationMs: number) =>
    world.timeline.run(world.timeline.nowMs + durationMs, () => false);
  await pass(formMs);
  const [process] = world.livingProcesses();
  if (process === undefined) throw new Error("Expected a node to run");
  const machine = world.addHost(id, address);
  await machine.start();
  const put = process.node.operations.putHost(id, { address, labels: {} }, "test");
  await pass(syncMs);
  await put;
  const core: Core = { slots: new Set(world.nodes.keys()), hosts: new Set([id]) };
  const client = new HostStore({
    store: world.store,
    partitionOf: (host) => partitionOf(host, partitionsCount),
  });
  return { machine, client, pass, missing: () => missingIn(world, core) };
}

const changes = [
  { title: "was relabelled", body: { address, labels: { role: "edge" } } },
  { title: "has moved", body: { address: movedAddress, labels: {} } },
];

test.each(changes)(
  "a host that $title and holds what it should is not in order before its owner has read that",
  async ({ body }) => {
    const { machine, client, pass, missing } = await syncedHost();
    expect(await missing()).toBeUndefined();
    machine.address = body.address;
    await client.put(parseHostInput(body, id));
    expect(await missing()).toMatch(/^h1 .* its owner has not read that/);
    await pass(foundOutMs);
    expect(await missing()).toBeUndefined();
  },
);
