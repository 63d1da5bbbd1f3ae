/** Verdicts about the store: is it there, is it ours, and do nodes have the rights they need. */
import type { ErrorCode } from "../../kernel/errors.ts";
import type { EntryFacts, StoreFacts, ViewNumber } from "./facts.ts";
import { findingsOf, type Finding } from "./finding.ts";

type TriedStore = Extract<StoreFacts, { kind: "tried" }>;
const finding = findingsOf("store");

const policy = 'the policy in the README ("Deploy three nodes on AWS")';

/** What to do where a call failed, by the error's code. */
const advices: Partial<Record<ErrorCode, string>> = {
  STORE_UNAVAILABLE:
    "Check --store-endpoint and --store-region, and the way there: route, security group, VPC endpoint, proxy.",
  STORE_THROTTLED:
    "Raise the table's capacity or switch it to on-demand; nodes slow down meanwhile.",
  STORE_DENIED: `Check the credentials (role, profile, expiry; AWS also refuses a clock more than 5 minutes off) and ${policy}.`,
  STORE_UNKNOWN_OUTCOME: "The call ran into --store-timeout: look at the network and the table.",
  OPTION_INVALID: "Set --store-region or AWS_REGION.",
  CLUSTER_NOT_INITIALISED:
    "Run `coxswain init` for this table, or correct --store-table, --store-region and --store-endpoint.",
  CLUSTER_SCHEMA_UNSUPPORTED: "Run doctor and nodes of the version that wrote this table.",
  STORE_CORRUPT: "Another program has written to this table: correct --store-table, or restore it.",
};

const adviceFor = (code: ErrorCode | undefined) =>
  (code === undefined ? undefined : advices[code]) ??
  "See the message; docs/errors.md has the codes.";

export function diagnoseStore(store: StoreFacts, entry: EntryFacts): Finding[] {
  switch (store.kind) {
    case "notGiven":
      return [
        finding(
          "skipped",
          "store.reachable",
          "no store option was given: only nodes were asked",
          "Give what the nodes have, such as --store-table coxswain --store-region eu-central-1.",
        ),
      ];
    case "inUse":
      return [
        finding(
          "skipped",
          "store.reachable",
          `a running process holds the folder ${store.dir}`,
          "Nothing, if it is the node: its answers count. To check the folder itself, stop it first.",
        ),
      ];
    case "noFolder":
      return [
        finding(
          "fail",
          "store.reachable",
          `there is no folder ${store.dir}`,
          `Correct --store-dir, or make the cluster: coxswain init --store embedded --store-dir ${store.dir}`,
        ),
      ];
    case "tried":
      return diagnoseTried(store, entry);
  }
}

/** These mean that the table answered, though not what was hoped for. */
const contentCodes: ReadonlySet<ErrorCode | undefined> = new Set<ErrorCode>([
  "CLUSTER_NOT_INITIALISED",
  "CLUSTER_SCHEMA_UNSUPPORTED",
  "STORE_CORRUPT",
]);

function diagnoseTried(store: TriedStore, entry: EntryFacts): Finding[] {
  const { meta, place } = store;
  if (meta.kind === "notTried") return [];
  if (meta.kind === "answered") {
    return [
      finding("ok", "store.reachable", `${place} answered in ${meta.tookMs} ms`, ""),
      clusterFinding(store),
      ...rightsFindings(store),
      ...sameFindings(store, entry),
    ];
  }
  if (store.isTableMissing) {
    return [
      finding(
        "fail",
        "store.reachable",
        meta.reason,
        "Correct --store-table, --store-region or --store-endpoint; for a new cluster run `coxswain init`.",
      ),
    ];
  }
  if (contentCodes.has(meta.code)) {
    return [
      finding("ok", "store.reachable", `${place} answered`, ""),
      finding("fail", "store.cluster", meta.reason, adviceFor(meta.code)),
      ...rightsFindings(store),
    ];
  }
  return [
    finding("fail", "store.reachable", meta.reason, adviceFor(meta.code)),
    ...rightsFindings(store),
  ];
}

function clusterFinding({ meta, view }: TriedStore): Finding {
  if (meta.kind !== "answered") throw new Error("only for a cluster that was read");
  const { id, partitions, schema } = meta.value;
  const known = `cluster ${id}, schema ${schema}, ${partitions.toLocaleString("en-US")} partitions`;
  if (view.kind === "answered" && view.value !== undefined) {
    return finding("ok", "store.cluster", `${known}, view ${numberText(view.value)}`, "");
  }
  const why =
    view.kind === "failed" ? `the view cannot be read: ${view.reason}` : "there is no view";
  const isMissing = view.kind === "answered";
  return finding(
    "fail",
    "store.cluster",
    `${known}, but ${why}`,
    isMissing
      ? "Running nodes write a lost view back by themselves; else repeat `coxswain init` with the same parameters."
      : adviceFor(view.kind === "failed" ? view.code : undefined),
  );
}

function rightsFindings({ actions, isConditionKept, leftItem }: TriedStore): Finding[] {
  const findings: Finding[] = [];
  const failed = actions.flatMap(({ action, outcome }) =>
    outcome.kind === "failed" ? [{ action, ...outcome }] : [],
  );
  const denied = failed.filter(({ code }) => code === "STORE_DENIED");
  if (denied.length > 0) {
    const names = denied.map(({ action }) => `dynamodb:${action}`).join(", ");
    const advice = `Allow them on this table: ${policy} has them all.`;
    findings.push(finding("fail", "store.rights", `denied: ${names}`, advice));
  }
  const other = failed.find(({ code }) => code !== "STORE_DENIED");
  if (other !== undefined) {
    const names = failed.flatMap(({ action, code }) => (code === "STORE_DENIED" ? [] : [action]));
    const seen = `${names.join(", ")} failed: ${other.reason}`;
    findings.push(finding("fail", "store.rights", seen, adviceFor(other.code)));
  }
  if (isConditionKept === false) {
    const seen = "a conditional write was taken though its condition did not hold";
    const advice = "Use DynamoDB: what answers at --store-endpoint is no safe store for a cluster.";
    findings.push(finding("fail", "store.rights", seen, advice));
  }
  if (leftItem !== undefined) {
    const seen = `the item ${leftItem} could not be deleted again`;
    findings.push(finding("warn", "store.rights", seen, "Delete it; nothing reads it."));
  }
  if (findings.length === 0 && actions.length > 0) {
    const seen = "get, batch get, query, put, update and delete work; conditions hold";
    findings.push(finding("ok", "store.rights", seen, ""));
  }
  return findings;
}

/** The nodes' table and this one: another table is the likeliest mistake in options. */
function sameFindings({ meta, view }: TriedStore, { answer }: EntryFacts): Finding[] {
  if (answer.kind !== "answered" || meta.kind !== "answered") return [];
  const { slot, cluster, view: nodes } = answer.value;
  const { id, partitions } = meta.value;
  if (cluster.id !== id || cluster.partitions !== partitions) {
    const seen = `${slot} serves cluster ${cluster.id} with ${cluster.partitions} partitions, this table holds ${id} with ${partitions}`;
    const advice = "Correct --api or the store options: they belong to different clusters.";
    return [finding("fail", "store.same", seen, advice)];
  }
  const stored = view.kind === "answered" ? view.value : undefined;
  if (stored === undefined || isOlder(stored, nodes)) {
    const has = stored === undefined ? "no view" : `view ${numberText(stored)}`;
    const seen = `${slot} has view ${numberText(nodes)}, this table has ${has}`;
    const advice =
      'If it is the nodes\' table it was emptied or rolled back: docs/operations.md, "What to do when". Else correct the store options.';
    return [finding("fail", "store.same", seen, advice)];
  }
  return [finding("ok", "store.same", `${slot} uses this table`, "")];
}

export const numberText = ({ generation, version }: ViewNumber) => `${generation}.${version}`;

function isOlder(stored: ViewNumber, seen: ViewNumber): boolean {
  return stored.generation === seen.generation
    ? stored.version < seen.version
    : stored.generation < seen.generation;
}
