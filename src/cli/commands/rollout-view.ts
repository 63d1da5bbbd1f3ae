/**
 * How rollouts look to people: one line when they start, a page when they are shown.
 */
import type { RolloutView } from "../api-shapes.ts";
import {
  countOf,
  formatAge,
  formatCounts,
  formatFields,
  printable,
  printableLines,
  shortDigest,
} from "../format.ts";

/** `started r-01: routes.json 3b1f… on all hosts, 200 hosts matched`. */
export function startedLine(rollout: RolloutView): string {
  const what = rollout.digest === null ? "removal" : shortDigest(rollout.digest);
  const matched =
    rollout.counts === undefined ? "" : `, ${countOf(rollout.counts.total, "host")} matched`;
  return `started ${printable(rollout.id)}: ${printable(rollout.config)} ${what} on ${selectorText(rollout)}${matched}`;
}

export function selectorText({ selector }: RolloutView): string {
  return selector === "" || selector === "*" ? "all hosts" : printable(selector);
}

/** `rollout show`. */
export function formatRollout(rollout: RolloutView, wallMs: number): string {
  const fields: [string, string][] = [
    ["rollout", printable(rollout.id)],
    ["config", printable(rollout.config)],
    ["release", rollout.digest ?? "(removal)"],
    ["selector", selectorText(rollout)],
    ["state", printable(rollout.state)],
    ["author", `${printable(rollout.author)}, ${formatAge(rollout.at, wallMs)} ago`],
  ];
  if (rollout.undoes !== undefined && rollout.undoes !== null) {
    fields.push(["undoes", printable(rollout.undoes)]);
  }
  return [formatFields(fields), formatSplit(rollout)].join("\n\n");
}

/** Counts, what is missing from them, and the top problems with the hosts' own words. */
export function formatSplit(rollout: RolloutView): string {
  const lines = rollout.counts === undefined ? [] : [formatCounts(rollout.counts)];
  for (const slot of rollout.missing ?? []) {
    lines.push(`! ${printable(slot)} does not answer: the counts lack its hosts`);
  }
  for (const problem of rollout.problems ?? []) {
    const more = problem.count > problem.hosts.length ? ", …" : "";
    lines.push(
      `${printable(problem.class)}: ${countOf(problem.count, "host")} (${printable(problem.hosts.join(", "))}${more})`,
      printableLines(problem.message, "  "),
    );
  }
  return lines.join("\n");
}
