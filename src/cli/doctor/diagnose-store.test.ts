import { expect, test } from "vitest";
import { storeFacts, worked, type TriedStore } from "./facts-fixture.ts";
import type { Facts } from "./facts.ts";
import { missesOf, type Row } from "./row-fixture.ts";

const failed = (reason: string, code?: "STORE_DENIED" | "STORE_THROTTLED" | "STORE_UNAVAILABLE") =>
  ({ kind: "failed", reason, code }) as const;

const actionsWith = (change: Partial<Record<string, ReturnType<typeof failed>>>) =>
  storeFacts().actions.map(({ action, outcome }) => ({
    action,
    outcome: change[action] ?? outcome,
  }));

const metaFailed = (
  code: NonNullable<Extract<TriedStore["meta"], { kind: "failed" }>["code"]>,
  change: Partial<TriedStore> = {},
): Partial<Facts> => ({
  store: storeFacts({
    meta: { kind: "failed", reason: `because ${code}`, code },
    view: { kind: "notTried" },
    actions: [],
    isConditionKept: undefined,
    ...change,
  }),
});

const rows: readonly Row[] = [
  {
    of: "no store option",
    change: { store: { kind: "notGiven" } },
    check: "store.reachable",
    verdict: "skipped",
    seen: "no store option",
    advice: "--store-table",
  },
  {
    of: "a folder in use",
    change: { store: { kind: "inUse", dir: "/data" } },
    check: "store.reachable",
    verdict: "skipped",
    seen: "/data",
    advice: "its answers count",
  },
  {
    of: "no folder",
    change: { store: { kind: "noFolder", dir: "/data" } },
    check: "store.reachable",
    verdict: "fail",
    seen: "no folder /data",
    advice: "--store-dir /data",
  },
  {
    of: "no table",
    change: metaFailed("CLUSTER_NOT_INITIALISED", { isTableMissing: true }),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "--store-region",
  },
  {
    of: "an empty table",
    change: metaFailed("CLUSTER_NOT_INITIALISED"),
    check: "store.cluster",
    verdict: "fail",
    seen: "because",
    advice: "coxswain init",
  },
  {
    of: "a newer schema",
    change: metaFailed("CLUSTER_SCHEMA_UNSUPPORTED"),
    check: "store.cluster",
    verdict: "fail",
    seen: "because",
    advice: "version that wrote",
  },
  {
    of: "another program's table",
    change: metaFailed("STORE_CORRUPT"),
    check: "store.cluster",
    verdict: "fail",
    seen: "because",
    advice: "Another program",
  },
  {
    of: "a store that is away",
    change: metaFailed("STORE_UNAVAILABLE"),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "--store-endpoint",
  },
  {
    of: "no region",
    change: metaFailed("OPTION_INVALID"),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "AWS_REGION",
  },
  {
    of: "no right to read",
    change: metaFailed("STORE_DENIED"),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "credentials",
  },
  {
    of: "a throttled table",
    change: metaFailed("STORE_THROTTLED"),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "capacity",
  },
  {
    of: "an error without advice",
    change: metaFailed("INTERNAL"),
    check: "store.reachable",
    verdict: "fail",
    seen: "because",
    advice: "docs/errors.md",
  },
  {
    of: "no view",
    change: { store: storeFacts({ view: { ...worked } }) },
    check: "store.cluster",
    verdict: "fail",
    seen: "there is no view",
    advice: "coxswain init",
  },
  {
    of: "a view that cannot be read",
    change: { store: storeFacts({ view: failed("away", "STORE_UNAVAILABLE") }) },
    check: "store.cluster",
    verdict: "fail",
    seen: "cannot be read: away",
    advice: "--store-endpoint",
  },
  {
    of: "two rights missing",
    change: {
      store: storeFacts({
        actions: actionsWith({
          Query: failed("no", "STORE_DENIED"),
          DeleteItem: failed("no", "STORE_DENIED"),
        }),
      }),
    },
    check: "store.rights",
    verdict: "fail",
    seen: "denied: dynamodb:Query, dynamodb:DeleteItem",
    advice: "README",
  },
  {
    of: "a throttled write",
    change: {
      store: storeFacts({
        actions: actionsWith({ PutItem: failed("slow down", "STORE_THROTTLED") }),
      }),
    },
    check: "store.rights",
    verdict: "fail",
    seen: "PutItem failed: slow down",
    advice: "capacity",
  },
  {
    of: "conditions that do not hold",
    change: { store: storeFacts({ isConditionKept: false }) },
    check: "store.rights",
    verdict: "fail",
    seen: "condition did not hold",
    advice: "no safe store",
  },
  {
    of: "an item left behind",
    change: { store: storeFacts({ leftItem: "doctor / 1" }) },
    check: "store.rights",
    verdict: "warn",
    seen: "doctor / 1",
    advice: "Delete it",
  },
  {
    of: "another cluster's table",
    change: {
      store: storeFacts({
        meta: { ...worked, value: { id: "test", partitions: 1024, schema: 1 } },
      }),
    },
    check: "store.same",
    verdict: "fail",
    seen: "serves cluster prod",
    advice: "different clusters",
  },
  {
    of: "a table that went back",
    change: { store: storeFacts({ view: { ...worked, value: { generation: 1, version: 16 } } }) },
    check: "store.same",
    verdict: "fail",
    seen: "has view 1.17, this table has view 1.16",
    advice: "rolled back",
  },
  {
    of: "a table that is one view ahead",
    change: { store: storeFacts({ view: { ...worked, value: { generation: 2, version: 1 } } }) },
    check: "store.same",
    verdict: "ok",
    seen: "node-1 uses this table",
  },
];

test.each(rows)("$check is $verdict with $of", (row) => {
  expect(missesOf(row)).toEqual([]);
});
