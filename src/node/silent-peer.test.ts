/** Changes and questions while a peer's address takes connections and never answers, or takes none. */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createInventory } from "../inventory/inventory.ts";
import { systemClock } from "../kernel/clock.ts";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import { newStatus } from "../push/host-status.ts";
import type { HostSource } from "./answers.ts";
import { Directory } from "./directory.ts";
import { EventLog } from "./events.ts";
import { Hints } from "./hints.ts";
import { partitionsCount, SliceFixture, snapshotOf } from "./node-fixture.ts";
import { Operations } from "./operations.ts";
import { createHttpPeers } from "./peers.ts";
import { StoredHosts } from "./stored-hosts.ts";

const listening = `
  const server = require("node:net").createServer(() => {});
  server.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(server.address().port));
`;

/** A process that is stopped after it began to listen: the kernel accepts for it until its backlog is full. */
class StoppedPeer {
  readonly #process: ChildProcess;
  readonly #sockets: Socket[] = [];
  readonly port: number;

  private constructor(process: ChildProcess, port: number) {
    this.#process = process;
    this.port = port;
  }

  static async start(): Promise<StoppedPeer> {
    const child = spawn(process.execPath, ["-e", listening], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await once(createInterface(child.stdout), "line")) as [string];
    child.kill("SIGSTOP");
    return new StoppedPeer(child, Number(line));
  }

  /** From now on connection requests get no answer at all. */
  fillBacklog(): void {
    for (let count = 0; count < 8; count++) {
      this.#sockets.push(connect(this.port, "127.0.0.1").on("error", () => {}));
    }
  }

  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    const ended = once(this.#process, "exit");
    this.#process.kill("SIGKILL");
    await ended;
  }
}

const ids = Array.from({ length: 40 }, (_, index) => `h${index}`);
const by = { author: "t", atIso: "2026-01-01T00:00:00.000Z" };

/** Node `a` of two; `b` is at the stopped address and owns about half. */
async function besideSilent(port: number) {
  const fixture = new SliceFixture();
  const { slice, store, hosts } = fixture;
  for (const id of ids) await fixture.put(id);
  const inventory = createInventory({
    store,
    random: createRandom("silent"),
    partitionOf: (id) => fixture.partitionOf(id),
  });
  const { digest } = await inventory.releases.put("one", Buffer.from("1"), by);
  const request = { config: "one", digest, selector: "", author: by.author, at: by.atIso };
  const rollout = await inventory.rollouts.start(request);
  await slice.refreshFleet();
  const { view, ...rest } = snapshotOf(1, ["a", "b"]);
  const members = view.members.map((member) =>
    member.slot === "b" ? { ...member, fleetUrl: `http://127.0.0.1:${port}` } : member,
  );
  const snapshot = { ...rest, view: { ...view, members } };
  await slice.adopt(snapshot, () => false, new AbortController().signal);
  const local: HostSource = (partition) =>
    slice.isServed(partition)
      ? [...slice.hostsOf(partition)].map((record) => ({
          record,
          partition,
          fence: slice.fenceOf(record),
          desired: slice.desiredOf(record),
          status: newStatus(),
        }))
      : undefined;
  const [clock, slot] = [systemClock, "a"];
  const peers = createHttpPeers("test");
  const hints = new Hints({
    clock,
    peers,
    metrics: createMetrics(),
    log: silentLogger,
    slice,
    slot,
  });
  const stored = new StoredHosts({ store, hosts, slice, clock });
  const operations = new Operations({
    clock,
    meta: { schema: 1, clusterId: "test", partitions: partitionsCount, hash: "x", createdAt: "" },
    inventory,
    slice,
    directory: new Directory({ clock, slot, slice, peers, stored, local }),
    events: new EventLog(clock, slot),
    snapshot: () => snapshot,
    slot,
    version: "0",
    hint: (hint) => hints.tell(hint),
    wake: async () => false,
    evict: async () => ({ kind: "unknownSlot" }),
    audit: () => {},
  });
  /** From now on every read of a partition takes `delayMs`. */
  const slowPartitions = (delayMs: number) => {
    store.faults = {
      before: async (_call, { pk }) => {
        if (pk.startsWith("part#")) await systemClock.sleep(delayMs);
      },
    };
  };
  const own = ids.find((id) => slice.isServed(fixture.partitionOf(id))) ?? "";
  return { operations, digest, rollout: rollout.id, slowPartitions, peers, own };
}

async function timed<T>(work: Promise<T>): Promise<[number, T]> {
  const startMs = systemClock.monotonicMs();
  const result = await work;
  return [systemClock.monotonicMs() - startMs, result];
}

describe.each(["takes connections and never answers", "takes no connection"])(
  "while a peer %s",
  (how) => {
    let peer: StoppedPeer;
    let node: Awaited<ReturnType<typeof besideSilent>>;

    beforeAll(async () => {
      peer = await StoppedPeer.start();
      if (how === "takes no connection") peer.fillBacklog();
      node = await besideSilent(peer.port);
    });

    afterAll(async () => {
      await node.peers.close();
      await peer.end();
    });

    test("questions are answered within 4.5 s and name who is missing", async () => {
      node.slowPartitions(5_000);
      const questions = [
        node.operations.status(),
        node.operations.listHosts({ limit: 100 }),
        node.operations.getRollout(node.rollout),
      ];
      const [elapsedMs, answers] = await timed(Promise.all<object>(questions));
      expect(elapsedMs).toBeLessThan(4_500);
      for (const answer of answers) expect(answer).toMatchObject({ missing: ["b"] });
    }, 15_000);

    const slow = ["is slow", "hurries"] as const;
    test.each(slow)("a rollout is answered within 2.5 s where the store %s", async (store) => {
      node.slowPartitions(store === "is slow" ? 1_500 : 0);
      const body = { config: "one", digest: node.digest, selector: "" };
      const [elapsedMs, rollout] = await timed(node.operations.startRollout(body, "t"));
      expect(elapsedMs).toBeLessThan(2_500);
      const isWhole = rollout.missing?.length === 0;
      expect(isWhole).toBe(store === "hurries");
      expect(rollout.counts?.total === ids.length).toBe(isWhole);
    });

    test("a host is registered within 2.5 s", async () => {
      node.slowPartitions(0);
      const body = { address: "http://moved:9000" };
      const [elapsedMs, { outcome }] = await timed(node.operations.putHost(node.own, body, "t"));
      expect([elapsedMs < 2_500, outcome]).toEqual([true, "updated"]);
    });
  },
);
