import { expect, test } from "vitest";
import { member, refused } from "./facts-fixture.ts";
import type { Facts, MemberFacts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const second = (change: Partial<MemberFacts>, self = {}): Partial<Facts> => ({
  members: [member(1), member(2, change, self), member(3)],
});

/** Nobody gets an answer from node-2. */
const deadSecond: Partial<Facts> = {
  members: [
    member(
      1,
      {},
      { peers: [{ slot: "node-2", fleetUrl: "http://10.0.0.2:7401", outcome: "refused" }] },
    ),
    member(2, { self: refused, skewMs: undefined, fleet: refused, gauges: refused }),
    member(
      3,
      {},
      { peers: [{ slot: "node-2", fleetUrl: "http://10.0.0.2:7401", outcome: "unknown" }] },
    ),
  ],
};

const rows: readonly Row[] = [
  {
    of: "nobody at --api, nobody in the store",
    change: {
      entry: { addresses: ["http://x:1"], answer: refused },
      members: [],
      membersFrom: "nobody",
    },
    check: "nodes.entry",
    verdict: "fail",
    seen: "http://x:1: connection refused",
    advice: "coxswain node",
  },
  {
    of: "nobody at --api, but members",
    change: { entry: { addresses: ["http://x:1"], answer: refused } },
    check: "nodes.entry",
    verdict: "warn",
    seen: "http://x:1",
    advice: "--api http://10.0.0.1:7400",
  },
  {
    of: "a dead node",
    change: deadSecond,
    check: "nodes.api",
    verdict: "fail",
    seen: "node-2 at http://10.0.0.2:7400 (connection refused)",
    advice: "Start node-2",
  },
  {
    of: "a dead node's fleet address",
    change: deadSecond,
    check: "nodes.fleet",
    verdict: "fail",
    seen: "node-2",
    advice: "7401",
  },
  {
    of: "the ways to a dead node",
    change: deadSecond,
    check: "nodes.peers",
    verdict: "fail",
    seen: "2 of 2 ways",
    advice: "Start the node",
  },
  {
    of: "an api address closed to this machine",
    change: second({ self: refused }),
    check: "nodes.api",
    verdict: "warn",
    seen: "node-2",
    advice: "They run",
  },
  {
    of: "an old version without the check",
    change: second({ self: { ...refused, code: "NOT_FOUND" } }),
    check: "nodes.api",
    verdict: "warn",
    seen: "node-2",
    advice: "finish the upgrade",
  },
  {
    of: "a fleet address closed to this machine",
    change: second({ fleet: refused }),
    check: "nodes.fleet",
    verdict: "warn",
    seen: "node-2",
    advice: "Members reach them",
  },
  {
    of: "a way closed between two living nodes",
    change: second(
      {},
      { peers: [{ slot: "node-3", fleetUrl: "http://10.0.0.3:7401", outcome: "unknown" }] },
    ),
    check: "nodes.peers",
    verdict: "fail",
    seen: "node-2 to node-3 at http://10.0.0.3:7401 (no answer)",
    advice: "Open the fleet port",
  },
  {
    of: "nobody to ask about ways",
    change: { members: [1, 2, 3].map((n) => member(n, { self: refused })) },
    check: "nodes.peers",
    verdict: "skipped",
    seen: "no node could be asked",
    advice: "api address",
  },
  {
    of: "one member",
    change: { members: [member(1, {}, { peers: [] })] },
    check: "nodes.peers",
    verdict: "ok",
    seen: "one member",
  },
  {
    of: "a wide bind",
    change: second({}, { fleetHost: "0.0.0.0" }),
    check: "nodes.binds",
    verdict: "warn",
    seen: "node-2 (api 127.0.0.1, fleet 0.0.0.0)",
    advice: "can steer the fleet",
  },
  {
    of: "loopback beside other machines",
    change: second({ fleetUrl: "http://127.0.0.1:7401" }),
    check: "nodes.addresses",
    verdict: "fail",
    seen: "node-2 (http://127.0.0.1:7401)",
    advice: "--fleet-url",
  },
  {
    of: "an address without a machine",
    change: second({ fleetUrl: "http://0.0.0.0:7401" }),
    check: "nodes.addresses",
    verdict: "fail",
    seen: "node-2",
    advice: "0.0.0.0",
  },
  {
    of: "two nodes that joined with one address",
    change: second({ fleetUrl: "http://10.0.0.1:7401" }),
    check: "nodes.addresses",
    verdict: "fail",
    seen: "node-1, node-2",
    advice: "address of its own",
  },
  {
    of: "an address that another node answers at",
    change: second({}, { slot: "node-1" }),
    check: "nodes.addresses",
    verdict: "fail",
    seen: "node-2",
    advice: "address of its own",
  },
  {
    of: "a cluster of one machine",
    change: { members: [1, 2, 3].map((n) => member(n, { fleetUrl: `http://127.0.0.1:${n}` })) },
    check: "nodes.addresses",
    verdict: "ok",
    seen: "one machine",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});
