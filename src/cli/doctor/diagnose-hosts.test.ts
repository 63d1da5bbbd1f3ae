import { expect, test } from "vitest";
import { healthy, host, member, refused, worked } from "./facts-fixture.ts";
import type { Facts, MemberFacts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const agentOf = (change: Partial<NonNullable<Facts["agent"]>>): Partial<Facts> => {
  const { agent } = healthy();
  return agent === undefined ? {} : { agent: { ...agent, ...change } };
};

const second = (change: Partial<MemberFacts>, self = {}): Partial<Facts> => ({
  members: [member(1), member(2, change, self), member(3)],
});

const rows: readonly Row[] = [
  {
    of: "hosts that were not asked",
    change: { hosts: { kind: "notTried", reason: "--hosts 0" } },
    check: "hosts.reached",
    verdict: "skipped",
    seen: "--hosts 0",
    advice: "--hosts",
  },
  {
    of: "an empty inventory",
    change: { hosts: { kind: "sampled", hosts: [] } },
    check: "hosts.reached",
    verdict: "skipped",
    seen: "no hosts",
    advice: "import",
  },
  {
    of: "one dead host",
    change: {
      hosts: {
        kind: "sampled",
        hosts: [host(1), host(4, { outcome: { kind: "failed", reason: "refused: no" } })],
      },
    },
    check: "hosts.reached",
    verdict: "warn",
    seen: "1 of 2 sampled hosts answered their owners just now (1 owner); not host-4 at http://10.1.0.4:7500 from node-2 (refused: no)",
    advice: "no fault of the deployment",
  },
  {
    of: "one dead host that is all its owner has in the sample",
    change: {
      hosts: { kind: "sampled", hosts: [host(1), host(2, { outcome: { kind: "noResult" } })] },
    },
    check: "hosts.reached",
    verdict: "warn",
    seen: "not host-2",
    advice: "no fault of the deployment",
  },
  {
    of: "an owner that reaches none of several",
    change: {
      hosts: {
        kind: "sampled",
        hosts: [
          host(1),
          host(2, { outcome: { kind: "noResult" } }),
          host(5, { outcome: { kind: "notAsked", reason: "busy" } }),
        ],
      },
    },
    check: "hosts.reached",
    verdict: "fail",
    seen: "no answer in time",
    advice: "let node-3 connect",
  },
  {
    of: "no host that answers",
    change: { hosts: { kind: "sampled", hosts: [host(1, { outcome: { kind: "noResult" } })] } },
    check: "hosts.reached",
    verdict: "fail",
    seen: "0 of 1",
    advice: "coxswain hosts ls",
  },
  {
    of: "a way back that nobody can see",
    change: { agent: undefined },
    check: "hosts.hello",
    verdict: "skipped",
    seen: "cannot be seen",
    advice: "--agent-config",
  },
  {
    of: "remote hosts of a loopback node",
    change: { ...second({ fleetUrl: "http://127.0.0.1:7401" }), agent: undefined },
    check: "hosts.hello",
    verdict: "warn",
    seen: "node-2 listens at",
    advice: "--fleet-url",
  },
  {
    of: "an agent without nodes",
    change: agentOf({ nodes: [] }),
    check: "hosts.hello",
    verdict: "warn",
    seen: "never says hello",
    advice: "List",
  },
  {
    of: "an agent of another cluster",
    change: agentOf({ nodes: [{ url: "http://n", outcome: { ...worked, value: "other" } }] }),
    check: "hosts.hello",
    verdict: "fail",
    seen: "http://n: a node of another cluster",
    advice: "`cluster`",
  },
  {
    of: "an agent that reaches no node",
    change: agentOf({ nodes: [{ url: "http://n", outcome: refused }] }),
    check: "hosts.hello",
    verdict: "fail",
    seen: "http://n (connection refused)",
    advice: "7401",
  },
  {
    of: "an agent that reaches one of two",
    change: agentOf({
      nodes: [
        { url: "http://n", outcome: refused },
        { url: "http://m", outcome: { ...worked, value: "same" } },
      ],
    }),
    check: "hosts.hello",
    verdict: "warn",
    seen: "http://n",
    advice: "7401",
  },
  {
    of: "an unregistered host",
    change: agentOf({ registered: worked }),
    check: "hosts.registered",
    verdict: "fail",
    seen: "host-1 is not in the inventory",
    advice: "coxswain hosts add host-1",
  },
  {
    of: "a host of which no node tells",
    change: agentOf({ registered: refused }),
    check: "hosts.registered",
    verdict: "skipped",
    seen: "connection refused",
    advice: "--api",
  },
  {
    of: "another port than the agent's",
    change: agentOf({ registered: { ...worked, value: { address: "http://10.1.0.1:9000" } } }),
    check: "hosts.registered",
    verdict: "warn",
    seen: "http://10.1.0.1:9000",
    advice: "coxswain hosts add",
  },
  {
    of: "an agent that only its own machine reaches",
    change: agentOf({ listen: { host: "127.0.0.1", port: 7500 } }),
    check: "hosts.registered",
    verdict: "fail",
    seen: "127.0.0.1:7500",
    advice: "`listen`",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});
