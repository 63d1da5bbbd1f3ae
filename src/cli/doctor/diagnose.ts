/**
 * Facts to findings: every verdict of doctor, as a function of what was seen and of nothing else.
 */
import { diagnoseAgreement } from "./diagnose-agreement.ts";
import { diagnoseAlarms } from "./diagnose-alarms.ts";
import { diagnoseHosts } from "./diagnose-hosts.ts";
import { diagnoseNodes } from "./diagnose-nodes.ts";
import { diagnoseStore } from "./diagnose-store.ts";
import type { Facts, LocalFacts, MemberFacts } from "./facts.ts";
import { findingsOf, listed, type Finding } from "./finding.ts";

/** Beside host connections: peers, api callers, the store and files (docs/operations.md). */
const otherFilesMax = 1_000;
/** `--sockets` and `--links` where nothing else is known. */
const connectionsDefault = 4_096 + 10_000;

const finding = findingsOf("machine");

/** In the order in which they are shown. */
export function diagnose(facts: Facts): Finding[] {
  return [
    ...diagnoseStore(facts.store, facts.entry),
    ...diagnoseNodes(facts),
    ...diagnoseAgreement(facts),
    ...diagnoseAlarms(facts.members),
    ...diagnoseHosts(facts),
    ...nodeFileFindings(facts.members),
    localFileFinding(facts.local, facts.members),
  ];
}

function nodeFileFindings(members: readonly MemberFacts[]): Finding[] {
  const check = "machine.nodeFiles";
  const asked = members.flatMap(({ self }) => (self.kind === "answered" ? [self.value] : []));
  const known = asked.flatMap(({ slot, openFilesMax, socketsMax, linksMax }) => {
    if (openFilesMax === null) return [];
    const pushingMax = socketsMax + otherFilesMax;
    return [{ slot, openFilesMax, pushingMax, neededMax: pushingMax + linksMax }];
  });
  if (asked.length === 0) return [];
  if (known.length === 0) {
    const advice =
      "Look at `ulimit -n` where the nodes run: --sockets plus --links plus 1,000 at least.";
    return [finding("skipped", check, "the nodes' systems do not tell their limits", advice)];
  }
  const low = known.filter(({ openFilesMax, neededMax }) => openFilesMax < neededMax);
  const least = Math.min(...known.map(({ openFilesMax }) => openFilesMax));
  if (low.length === 0) {
    const most = Math.max(...known.map(({ neededMax }) => neededMax));
    const seen = `${filesText(least)} open files or more at ${known.length} of ${asked.length} nodes, ${most} may be needed`;
    return [finding("ok", check, seen, "")];
  }
  const seen = listed(
    low.map(
      ({ slot, openFilesMax, neededMax }) =>
        `${slot} may open ${openFilesMax} files and may need ${neededMax}`,
    ),
  );
  if (low.every(({ openFilesMax, pushingMax }) => openFilesMax >= pushingMax)) {
    const advice =
      "Enough without hosts of the mode reverse; with them raise the limit (LimitNOFILE= of the unit, ulimit -n) or lower --links.";
    return [finding("warn", check, seen, advice)];
  }
  const advice =
    "Raise the limit (LimitNOFILE= of the unit, ulimit -n) or lower --sockets and --links.";
  return [finding("fail", check, seen, advice)];
}

/** What a node that is started from this shell would have. */
function localFileFinding({ openFilesMax }: LocalFacts, members: readonly MemberFacts[]): Finding {
  const check = "machine.ownFiles";
  const held = members.flatMap(({ self }) =>
    self.kind === "answered" ? [self.value.socketsMax + self.value.linksMax] : [],
  );
  const neededMax = (held.length === 0 ? connectionsDefault : Math.max(...held)) + otherFilesMax;
  if (openFilesMax === undefined) {
    const advice = `Look at \`ulimit -n\` before you start a node here: ${neededMax} at least.`;
    return finding("skipped", check, "this system does not tell its limit", advice);
  }
  const seen = `${filesText(openFilesMax)} open files in this shell, a node may need ${neededMax}`;
  const advice = `Only if you start nodes here: ulimit -n ${neededMax}, or lower --sockets and --links.`;
  return finding(openFilesMax < neededMax ? "warn" : "ok", check, seen, advice);
}

const filesText = (count: number) =>
  count === Number.MAX_SAFE_INTEGER ? "unlimited" : String(count);
