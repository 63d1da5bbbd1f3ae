/**
 * Releases that some hosts cannot take: refused by their check, or accepted and then not loaded.
 *
 * The flaw stands in the content's first line, so that the check and reload commands of a simulated
 * host decide from the file alone, like real ones, and every checker can work out the same verdict.
 */

export interface Flaw {
  /** `refused`: the check says no. `unloadable`: the check says yes and the reload fails. */
  readonly kind: "refused" | "unloadable";
  /** One host in so many has the trouble; 1 means every host. */
  readonly oneIn: number;
}

export type Verdict = "good" | Flaw["kind"];

/** The only config of simulated hosts that has commands. */
export const guardedConfig = "app.conf";

export function flawLine({ kind, oneIn }: Flaw): string {
  return `flaw: ${kind} by one in ${oneIn}\n`;
}

/** What host `id` makes of a content of `guardedConfig`. */
export function verdictOf(id: string, text: string | undefined): Verdict {
  const found = /^flaw: (refused|unloadable) by one in (\d+)\n/.exec(text ?? "");
  const kind = found?.[1];
  if (kind !== "refused" && kind !== "unloadable") return "good";
  return verdictFor(id, { kind, oneIn: Number(found?.[2]) });
}

export function verdictFor(id: string, flaw: Flaw | undefined): Verdict {
  if (flaw === undefined) return "good";
  return Number(id.slice(1)) % flaw.oneIn === 0 ? flaw.kind : "good";
}
