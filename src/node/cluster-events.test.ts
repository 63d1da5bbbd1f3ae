import { describe, expect, test } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import type { ViewMember } from "../ring/view.ts";
import { ClusterEvents } from "./cluster-events.ts";
import { EventLog, type NodeEvent } from "./events.ts";
import type { Peers } from "./peers.ts";

const member = (slot: string): ViewMember => ({
  slot,
  incarnation: 1,
  state: "active",
  weight: 1,
  zone: "",
  url: "",
  fleetUrl: slot,
});

/** Two nodes; `n1` is watched, `n2` answers over the peers port while it is not `away`. */
function pair() {
  const clock = new ManualClock();
  const [own, other] = [new EventLog(clock, "n1"), new EventLog(clock, "n2")];
  const state = { isAway: false };
  const peers = {
    async call(_url: string, _name: string, { after }: { after: number }) {
      if (state.isAway) throw new CoxswainError("MEMBER_UNREACHABLE", "away");
      return other.page(after);
    },
  } as unknown as Peers;
  const events = new ClusterEvents({
    clock,
    peers,
    log: own,
    slot: "n1",
    members: () => [member("n1"), member("n2")],
  });
  const told: NodeEvent[] = [];
  const stopping = new AbortController();
  const followed = () => events.follow((event) => told.push(event), stopping.signal);
  const hosts = () => told.map((event) => event["host"]);
  return { clock, own, other, state, told, hosts, followed, stopping };
}

describe("the events of a cluster", () => {
  test("are told from every node, the recent ones in order of time, then each once", async () => {
    const { clock, own, other, hosts, followed, stopping } = pair();
    other.emit("host.drift", { host: "a" });
    await clock.advance(10);
    own.emit("host.drift", { host: "b" });
    const ended = followed();
    await clock.advance(10);
    own.emit("host.drift", { host: "c" });
    other.emit("host.drift", { host: "d" });
    expect(hosts()).toEqual(["a", "b", "c"]);
    await clock.advance(3_000);
    expect(hosts()).toEqual(["a", "b", "c", "d"]);
    stopping.abort();
    await ended;
    expect(clock.timerCount).toBe(0);
  });

  test("of a peer that is away come with its next answer", async () => {
    const { clock, other, state, hosts, followed, stopping } = pair();
    state.isAway = true;
    const ended = followed();
    other.emit("host.drift", { host: "a" });
    await clock.advance(3_000);
    expect(hosts()).toEqual([]);
    state.isAway = false;
    await clock.advance(1_000);
    expect(hosts()).toEqual(["a"]);
    stopping.abort();
    await ended;
  });

  test("tell a change of the view once, whoever reports it", async () => {
    const { clock, own, other, told, followed, stopping } = pair();
    const ended = followed();
    await clock.advance(10);
    for (const log of [own, other]) log.emit("view.changed", { generation: 1, version: 7 });
    await clock.advance(2_000);
    expect(told).toHaveLength(1);
    stopping.abort();
    await ended;
  });
});

describe("an event log", () => {
  test("gives all it keeps to a reader that knew another life of the process", () => {
    const log = new EventLog(new ManualClock(), "n1");
    for (let count = 0; count < 300; count++) log.emit("host.drift", { count });
    expect(log.page(0)).toMatchObject({ last: 300 });
    expect(log.page(0).events).toHaveLength(256);
    expect(log.page(298).events.map((event) => event["count"])).toEqual([298, 299]);
    expect(log.page(300).events).toEqual([]);
    expect(log.page(9_999).events).toHaveLength(256);
  });
});
