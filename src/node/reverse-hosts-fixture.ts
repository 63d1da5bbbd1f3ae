/** Two nodes whose hosts open their connections, over one clock, for the tests of `ReverseHosts`. */
import { duplexPair, type Duplex } from "node:stream";
import { parseHostInput } from "../inventory/host.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { createRandom } from "../kernel/random.ts";
import { hostId, partitionsCount, SliceFixture, snapshotOf } from "./node-fixture.ts";
import { parsePeerAnswer, parsePeerAsk } from "./peer-shapes.ts";
import type { PeerCalls, Peers } from "./peers.ts";
import { ReverseHosts, type ReverseOptions } from "./reverse-hosts.ts";

export const secret = Buffer.alloc(32, 1);
/** In place of a status: requests are not answered. */
export const noAnswer = "";
const slots = ["a", "b"];

/** Two nodes with slices of their own over one clock; `a` is the one under test. */
export class Pair {
  readonly fixtures = new Map<string, SliceFixture>();
  readonly nodes = new Map<string, ReverseHosts>();
  readonly calls: string[] = [];
  isCut = false;
  isStoreAway = false;
  readonly far: Duplex[] = [];

  constructor(
    secrets: Readonly<Record<string, Buffer | undefined>> = { a: secret, b: secret },
    changed: Partial<ReverseOptions> = {},
  ) {
    const clock = this.clockOf("a").clock;
    for (const slot of slots) {
      const fixture = this.clockOf(slot);
      const ports = {
        clock,
        random: createRandom(slot),
        metrics: createMetrics(),
        peers: this.#peers(),
        slot,
        hostSecret: secrets[slot],
        lagMs: undefined,
        isStoreReachable: () => !this.isStoreAway,
        partitionOf: (id: string) => fixture.partitionOf(id),
        slice: () => fixture.slice,
        pusher: () => fixture.pusher,
      };
      const options = {
        attachesPerSecond: 100,
        links: 5,
        pingIntervalMs: 30_000,
        linkAgeMs: 3_600_000,
        ...changed,
      };
      this.nodes.set(slot, new ReverseHosts(ports, options));
    }
  }

  get a(): ReverseHosts {
    return this.node("a");
  }

  node(slot: string): ReverseHosts {
    const node = this.nodes.get(slot);
    if (node === undefined) throw new Error(`no node ${slot}`);
    return node;
  }

  clockOf(slot: string): SliceFixture {
    const known = this.fixtures.get(slot) ?? new SliceFixture();
    this.fixtures.set(slot, known);
    return known;
  }

  async advance(ms: number): Promise<void> {
    await this.clockOf("a").clock.advance(ms);
  }

  /** Both nodes load hosts `h0` to `h19`, of which those with `mode` reverse; the view has both. */
  async load(mode: string[] = ["reverse"]): Promise<void> {
    const { signal } = new AbortController();
    for (const slot of slots) {
      const fixture = this.clockOf(slot);
      for (let index = 0; index < 20; index++) {
        await fixture.hosts.put(parseHostInput({ id: `h${index}`, address: "http://h:1", mode }));
      }
      await fixture.slice.refreshFleet();
      const self = { slot, incarnation: 1, status: "active" } as const;
      const snapshot = { ...snapshotOf(1, slots), self };
      await fixture.slice.adopt(snapshot, () => false, signal);
    }
  }

  /** Node a reads that `members` are the cluster now. */
  async read(version: number, members: string[]): Promise<void> {
    const { slice } = this.clockOf("a");
    await slice.adopt(snapshotOf(version, members), () => false, new AbortController().signal);
  }

  /** A host that `slot` owns. */
  hostOf(slot: string): string {
    const { placement } = this.clockOf("a").slice;
    for (let index = 0; index < 20; index++) {
      const id = `h${index}`;
      if (placement.ownerOf(this.clockOf("a").partitionOf(id)) === slot) return id;
    }
    throw new Error(`${slot} owns none of ${partitionsCount} partitions' hosts`);
  }

  /** Attaches `id` at `slot`; every request is answered with `status`, where it is one. */
  attach(slot: string, id: string, status = "200 OK"): Duplex {
    const [near, far] = duplexPair();
    far.on("data", (bytes: Buffer) => {
      if (status === noAnswer || !bytes.toString().startsWith("POST")) return;
      setImmediate(
        () => far.destroyed || far.write(`HTTP/1.1 ${status}\r\ncontent-length: 2\r\n\r\n{}`),
      );
    });
    this.far.push(far);
    this.node(slot).attach(hostId(id), near);
    return far;
  }

  wakes(slot: string): string[] {
    return this.clockOf(slot).pusher.calls.filter((call) => call.startsWith("wake"));
  }

  #peers(): Peers {
    return {
      call: async <Name extends keyof PeerCalls>(
        fleetUrl: string,
        name: Name,
        ask: PeerCalls[Name]["ask"],
      ) => {
        this.calls.push(`${name} ${fleetUrl}`);
        if (this.isCut) throw new CoxswainError("MEMBER_UNREACHABLE", "cut");
        const node = this.node(fleetUrl.slice("http://".length, -":7401".length));
        const sent: unknown = JSON.parse(JSON.stringify(ask));
        const answer =
          name === "links"
            ? node.answerLinks(parsePeerAsk("links", sent))
            : await node.answerRelay(parsePeerAsk("relay", sent));
        const parsed = parsePeerAnswer(name, JSON.parse(JSON.stringify(answer)));
        if ("wrong" in parsed) throw new Error(parsed.wrong);
        return parsed.answer;
      },
      probe: async () => "unknown",
      close: async () => {},
    };
  }
}
