import { expect, test } from "vitest";
import { member, storeFacts, worked } from "./facts-fixture.ts";
import type { Facts, MemberFacts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const second = (change: Partial<MemberFacts>, self = {}): Partial<Facts> => ({
  members: [member(1), member(2, change, self), member(3)],
});

const rows: readonly Row[] = [
  {
    of: "no active member",
    change: { members: [member(1, { state: "joining" })] },
    check: "agreement.members",
    verdict: "fail",
    seen: "0 active",
    advice: "Start nodes",
  },
  {
    of: "one active member",
    change: { members: [member(1)] },
    check: "agreement.members",
    verdict: "warn",
    seen: "1 active member",
    advice: "two more",
  },
  {
    of: "two active members",
    change: { members: [member(1), member(2)] },
    check: "agreement.members",
    verdict: "warn",
    seen: "2 active",
    advice: "third",
  },
  {
    of: "a member with an old view",
    change: second({ viewSeen: { generation: 1, version: 16 } }),
    check: "agreement.view",
    verdict: "fail",
    seen: "node-2 has 1.16",
    advice: "ask again",
  },
  {
    of: "a member without a view",
    change: second({ viewSeen: null }),
    check: "agreement.view",
    verdict: "fail",
    seen: "node-2 has none",
    advice: "ask again",
  },
  {
    of: "a store that is ahead of all",
    change: { store: storeFacts({ view: { ...worked, value: { generation: 1, version: 18 } } }) },
    check: "agreement.view",
    verdict: "fail",
    seen: "1.18 is not loaded",
    advice: "ask again",
  },
  {
    of: "two placements of one view",
    change: second({ placementHash: "sha256:bb" }),
    check: "agreement.placement",
    verdict: "fail",
    seen: "node-1, node-3 (aa) against node-2 (bb)",
    advice: "stop the upgrade",
  },
  {
    of: "another placement of an older view",
    change: second({ placementHash: "sha256:bb", viewSeen: { generation: 1, version: 16 } }),
    check: "agreement.placement",
    verdict: "ok",
    seen: "2 of 2",
  },
  {
    of: "a share at the bound",
    change: second({ partitions: 359 }),
    check: "agreement.balance",
    verdict: "ok",
    seen: "1.05 x",
  },
  {
    of: "a share above the bound",
    change: second({ partitions: 360 }),
    check: "agreement.balance",
    verdict: "warn",
    seen: "node-2 owns 360, bound 359",
    advice: "ask again",
  },
  {
    of: "a heavier node with its share",
    change: {
      members: [
        member(1, { partitions: 512, weight: 2 }),
        member(2, { partitions: 256 }),
        member(3, { partitions: 256 }),
      ],
    },
    check: "agreement.balance",
    verdict: "ok",
    seen: "1.00 x",
  },
  {
    of: "two versions",
    change: second({}, { version: "0.9.0" }),
    check: "agreement.versions",
    verdict: "warn",
    seen: "0.9.0 on node-2; 1.0.0 on node-1, node-3",
    advice: "finish it",
  },
  {
    of: "clocks 5 minutes apart",
    change: second({ skewMs: 300_000 }),
    check: "agreement.clocks",
    verdict: "ok",
    seen: "5 min between this machine and node-2 at most; no decision compares clocks",
  },
  {
    of: "clocks more than 5 minutes apart",
    change: second({ skewMs: -300_000 }),
    check: "agreement.clocks",
    verdict: "warn",
    seen: "5 min between node-2 and node-3",
    advice: "NTP",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});
