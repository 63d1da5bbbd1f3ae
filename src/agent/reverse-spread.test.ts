/** Where and when many hosts attach again that have lost the same node; on virtual time. */
import { duplexPair, type Duplex } from "node:stream";
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import { createHost } from "./agent-fixture.ts";
import { startAgentServer, type AgentServer } from "./agent-server.ts";
import { ReverseDriver } from "./reverse-driver.ts";

const hostsCount = 200;
const nodes = ["http://a", "http://b", "http://c"];

let core: Awaited<ReturnType<typeof createHost>>["core"];
let server: AgentServer;
let clock: ManualClock;
let stopping: AbortController;

/** A host that is taken once, by whichever node it asks first; everything after that is refused. */
class Host {
  readonly asks: { readonly node: string; readonly atMs: number }[] = [];
  readonly #far: Duplex;
  readonly #near: Duplex;

  constructor(seed: number, lossSpreadMs: number | undefined) {
    [this.#near, this.#far] = duplexPair();
    this.#far.resume();
    const attach = (node: string) => {
      this.asks.push({ node, atMs: clock.monotonicMs() });
      const isTaken = this.asks.length === 1;
      const taken = {
        kind: "attached",
        socket: this.#near,
        pingMs: 600_000,
        lossSpreadMs,
      } as const;
      const refused = { kind: "unreachable", message: "refused" } as const;
      return Promise.resolve(isTaken ? taken : refused);
    };
    const random = createRandom(`host ${seed}`);
    const ports = { clock, random, log: silentLogger, core, server, attach };
    const driver = new ReverseDriver(ports, { nodes, isDirect: false });
    void driver.run(stopping.signal).catch(() => {});
  }

  ping(line: string): void {
    this.#far.write(
      `POST /coxswain/v1/ping HTTP/1.1\r\nhost: h\r\n${line}content-length: 0\r\n\r\n`,
    );
  }

  lose(): void {
    this.#far.destroy();
    this.#near.destroy();
  }
}

beforeEach(async () => {
  ({ core } = await createHost());
  server = await startAgentServer({ core, log: silentLogger }, { listen: undefined });
  clock = new ManualClock();
  stopping = new AbortController();
});

afterEach(async () => {
  stopping.abort(new Error("the test is over"));
  await server.stop();
});

/** All are attached, hear a ping with `line`, lose their node at one moment, and have come again by then. */
async function lost(lossSpreadMs: number | undefined, line = ""): Promise<Host[]> {
  const hosts = Array.from({ length: hostsCount }, (_, seed) => new Host(seed, lossSpreadMs));
  await clock.advance(1_000);
  for (const host of hosts) host.ping(line);
  // Each request goes through the parser and comes back as an answer.
  for (let turns = 0; turns < 50; turns++) await turn();
  for (const host of hosts) host.lose();
  for (let turns = 0; turns < 5; turns++) await turn();
  return hosts;
}

/** After how many milliseconds each host has asked for the first time since. */
async function timesOf(hosts: readonly Host[], withinMs: number): Promise<number[]> {
  const startMs = clock.monotonicMs();
  for (let passedMs = 0; passedMs < withinMs; passedMs += 100) await clock.advance(100);
  return hosts.map(({ asks }) => (asks[1]?.atMs ?? Number.NaN) - startMs);
}

describe("hosts that have lost their node", () => {
  it.each([
    ["that the node gave when it took them", 20_000, ""],
    ["that the node gave last, with a ping", 500, "coxswain-loss-spread-ms: 20000\r\n"],
    ["that it gave first where a ping says nothing", 20_000, "coxswain-loss-spread-ms: soon\r\n"],
  ])("come again spread over the time %s", async (_which, first, line) => {
    const times = await timesOf(await lost(first, line), 20_000);
    for (let quarter = 0; quarter < 4; quarter++) {
      const inQuarter = times.filter((ms) => Math.floor(ms / 5_000) === quarter).length;
      expect(inQuarter).toBeGreaterThan(hostsCount / 8);
    }
  });

  it("come again within half a second where the node says nothing", async () => {
    const times = await timesOf(await lost(undefined), 500);
    expect(times.filter((ms) => ms <= 500)).toHaveLength(hostsCount);
  });

  it("do not all go to the same next node", async () => {
    const hosts = await lost(undefined);
    await timesOf(hosts, 500);
    for (const node of nodes) {
      const next = hosts
        .filter(({ asks }) => asks[0]?.node === node)
        .map(({ asks }) => asks[1]?.node);
      const others = nodes.filter((each) => each !== node);
      expect(new Set(next)).toEqual(new Set(others));
    }
  });
});
