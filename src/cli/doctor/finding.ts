/**
 * A finding: one check, its verdict, what was seen, and for everything but `ok` what to do about it.
 *
 * `check` is API: programs match on it. The texts are for people and may change.
 */

export type Area = "store" | "nodes" | "agreement" | "alarms" | "hosts" | "machine";

interface Seen {
  /** `store.rights`, `nodes.clocks`, …; one finding each, or one for each member of it. */
  readonly check: string;
  readonly area: Area;
  /** One line. */
  readonly seen: string;
}

export type Finding = Seen &
  (
    | { readonly verdict: "ok"; readonly advice?: never }
    | { readonly verdict: "warn" | "fail" | "skipped"; readonly advice: string }
  );

export type Verdict = Finding["verdict"];

type Reporter = (verdict: Verdict, check: string, seen: string, advice: string) => Finding;

/** Findings of one area; the advice of an `ok` is what it would have been, and is dropped. */
export function findingsOf(area: Area): Reporter {
  return (verdict, check, seen, advice) =>
    verdict === "ok" ? { verdict, check, area, seen } : { verdict, check, area, seen, advice };
}

/** `a, b, c and 4 more`: a line stays a line in the largest cluster. */
export function listed(texts: readonly string[], max = 4): string {
  if (texts.length <= max) return texts.join(", ");
  return `${texts.slice(0, max).join(", ")} and ${texts.length - max} more`;
}

/** True for a URL, a `host:port` or a host that only its own machine reaches. */
export function isLoopbackAddress(address: string): boolean {
  const url = URL.parse(address.includes("://") ? address : `http://${address}`);
  const host = url?.hostname ?? address;
  return host === "localhost" || host === "[::1]" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
