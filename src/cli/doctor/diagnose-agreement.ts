/**
 * Verdicts about what members must agree on (view, placement, shares, version) and about what they
 * need not agree on, the clock.
 */
import type { Facts, MemberFacts, ViewNumber } from "./facts.ts";
import { numberText } from "./diagnose-store.ts";
import { findingsOf, listed, type Finding } from "./finding.ts";

const finding = findingsOf("agreement");

/** AWS refuses signatures that are further off; certificates are valid from and to a moment. */
const skewWarnMs = 5 * 60_000;
/** Two observers must agree on a death; with fewer others a member's word stands alone. */
const membersForTwoObservers = 3;
/** The placement's own bound: `cap = ceil(P * 1.05 * weight / total)`. */
const capFactor = 1.05;

export function diagnoseAgreement(facts: Facts): Finding[] {
  const { members, membersFrom } = facts;
  if (membersFrom === "nobody") return [];
  const active = members.filter(({ state }) => state === "active");
  return [
    countFinding(active),
    ...viewFindings(facts, active),
    ...balanceFindings(facts, active),
    ...versionFindings(members),
    ...clockFindings(members),
  ];
}

function countFinding(active: readonly MemberFacts[]): Finding {
  const check = "agreement.members";
  const count = active.length;
  const seen = `${count} active ${count === 1 ? "member" : "members"}`;
  if (count >= membersForTwoObservers) return finding("ok", check, seen, "");
  const byCount = [
    "Start nodes: nobody serves the hosts.",
    "Start two more: nobody would take over, and a death takes two observers to be sure of.",
    "Start a third: two observers agree before a member is evicted only where there are three.",
  ];
  return finding(count === 0 ? "fail" : "warn", check, seen, byCount[count] ?? "");
}

function newestView({ entry, store, members }: Facts): ViewNumber | undefined {
  const stored =
    store.kind === "tried" && store.view.kind === "answered" ? store.view.value : undefined;
  const asked = entry.answer.kind === "answered" ? entry.answer.value.view : undefined;
  const seen = members.flatMap(({ viewSeen }) => (viewSeen === null ? [] : [viewSeen]));
  return [stored, asked, ...seen]
    .filter((view) => view !== undefined)
    .toSorted(
      (left, right) => right.generation - left.generation || right.version - left.version,
    )[0];
}

const isSameView = (left: ViewNumber | null, right: ViewNumber) =>
  left?.generation === right.generation && left.version === right.version;

function viewFindings(facts: Facts, active: readonly MemberFacts[]): Finding[] {
  const newest = newestView(facts);
  if (newest === undefined || active.length === 0) return [];
  const current = active.filter(({ viewSeen }) => isSameView(viewSeen, newest));
  const behind = active.filter((member) => !current.includes(member));
  const names = behind.map(
    ({ slot, viewSeen }) => `${slot} has ${viewSeen === null ? "none" : numberText(viewSeen)}`,
  );
  const loaded =
    behind.length === 0
      ? finding(
          "ok",
          "agreement.view",
          `every active member has loaded view ${numberText(newest)}`,
          "",
        )
      : finding(
          "fail",
          "agreement.view",
          `view ${numberText(newest)} is not loaded everywhere: ${listed(names)}`,
          "Normal for seconds after a change: ask again. If it stays, look at that node's log for store errors and event-loop lag.",
        );
  return [loaded, ...placementFindings(current, newest)];
}

function placementFindings(current: readonly MemberFacts[], view: ViewNumber): Finding[] {
  const check = "agreement.placement";
  if (current.length === 0) return [];
  const bySlots = Map.groupBy(current, ({ placementHash }) => placementHash ?? "none");
  if (bySlots.size === 1) {
    const [hash = ""] = bySlots.keys();
    const seen = `${current.length} of ${current.length} compute the same owners (${hash.replace(/^sha256:/, "").slice(0, 12)})`;
    return [finding("ok", check, seen, "")];
  }
  const sides = [...bySlots].map(
    ([hash, some]) =>
      `${listed(some.map(({ slot }) => slot))} (${hash.replace(/^sha256:/, "").slice(0, 12)})`,
  );
  const seen = `different owners from one view ${numberText(view)}: ${sides.join(" against ")}`;
  const advice =
    "Versions of Coxswain disagree: stop the upgrade, go back to one version, report it.";
  return [finding("fail", check, seen, advice)];
}

function balanceFindings({ entry }: Facts, active: readonly MemberFacts[]): Finding[] {
  const check = "agreement.balance";
  const shares = active.flatMap(({ slot, weight, partitions }) =>
    partitions === undefined ? [] : [{ slot, weight, partitions }],
  );
  if (shares.length < 2 || entry.answer.kind !== "answered") return [];
  const { partitions } = entry.answer.value.cluster;
  const weights = shares.reduce((sum, { weight }) => sum + weight, 0);
  const capOf = (weight: number) => Math.ceil((partitions * capFactor * weight) / weights);
  const over = shares.filter((share) => share.partitions > capOf(share.weight));
  const ratio = Math.max(
    ...shares.map((share) => (share.partitions * weights) / (partitions * share.weight)),
  );
  const seen = `the largest share is ${ratio.toFixed(2)} x the mean of ${partitions} partitions`;
  if (over.length === 0) return [finding("ok", check, seen, "")];
  const names = over.map(
    ({ slot, weight, partitions: owned }) => `${slot} owns ${owned}, bound ${capOf(weight)}`,
  );
  const advice =
    "Normal while members join or leave: ask again. If it stays, report it with `coxswain placement`.";
  return [finding("warn", check, `${seen}: ${listed(names)}`, advice)];
}

function versionFindings(members: readonly MemberFacts[]): Finding[] {
  const check = "agreement.versions";
  const asked = members.flatMap(({ self }) => (self.kind === "answered" ? [self.value] : []));
  if (asked.length === 0) return [];
  const byVersion = Map.groupBy(asked, ({ version }) => version);
  const texts = [...byVersion.keys()].toSorted().map((version) => {
    const slots = (byVersion.get(version) ?? []).map(({ slot }) => slot);
    return `${version} on ${listed(slots)}`;
  });
  const advice =
    "Normal during an upgrade: finish it. Nodes of two versions are meant for hours, not weeks.";
  return [finding(byVersion.size === 1 ? "ok" : "warn", check, texts.join("; "), advice)];
}

function clockFindings(members: readonly MemberFacts[]): Finding[] {
  const check = "agreement.clocks";
  const clocks = members.flatMap(({ slot, skewMs }) =>
    skewMs === undefined ? [] : [{ slot, skewMs }],
  );
  if (clocks.length === 0) return [];
  // This machine signs requests too, so its clock counts as one of them.
  const sorted = [...clocks, { slot: "this machine", skewMs: 0 }].toSorted(
    (left, right) => left.skewMs - right.skewMs,
  );
  const [first, last] = [sorted[0], sorted.at(-1)];
  if (first === undefined || last === undefined) return [];
  const skewMs = last.skewMs - first.skewMs;
  const seen = `${durationText(skewMs)} between ${first.slot} and ${last.slot} at most; no decision compares clocks`;
  const advice =
    "Run NTP on both: Coxswain does not mind, but AWS refuses signatures and TLS refuses certificates of another time.";
  return [finding(skewMs > skewWarnMs ? "warn" : "ok", check, seen, advice)];
}

function durationText(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`;
  return ms < 120_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms / 60_000)} min`;
}
