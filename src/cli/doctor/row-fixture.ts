/** One row of the tables of findings: what is wrong, which check says so, and in which words. */
import { diagnose } from "./diagnose.ts";
import { healthy } from "./facts-fixture.ts";
import type { Facts } from "./facts.ts";
import type { Finding, Verdict } from "./finding.ts";

export interface Row {
  readonly of: string;
  readonly change: Partial<Facts>;
  readonly check: string;
  readonly verdict: Verdict;
  /** In what was seen. */
  readonly seen: string;
  /** In what to do; nothing for `ok`. */
  readonly advice?: string;
}

/** Where the findings differ from the row; and what in any other finding is no line of advice. */
export function missesOf({ change, check, verdict, seen, advice }: Row): string[] {
  const findings = diagnose(healthy(change));
  const found = findings.filter((finding) => finding.check === check);
  const [first] = found;
  if (first === undefined || found.length > 1) return [`${found.length} findings of ${check}`];
  return [
    ...(first.verdict === verdict ? [] : [`verdict: ${first.verdict}`]),
    ...(first.seen.includes(seen) ? [] : [`seen: ${first.seen}`]),
    ...(isAdvised(first.advice, advice) ? [] : [`advice: ${first.advice}`]),
    ...findings.filter((each) => !isReadable(each)).map((each) => `unreadable: ${each.check}`),
  ];
}

function isAdvised(advice: string | undefined, expected: string | undefined): boolean {
  return expected === undefined ? advice === undefined : (advice?.includes(expected) ?? false);
}

const isLine = (text: string) => /^\S.{4,}$/.test(text);

function isReadable({ verdict, seen, advice }: Finding): boolean {
  return isLine(seen) && (verdict === "ok" ? advice === undefined : isLine(advice));
}
