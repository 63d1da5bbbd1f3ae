/** Import as an API call: JSON lines in, a report with one entry for every line that failed out. */
import { importHosts } from "../inventory/import-hosts.ts";
import type { ImportOutcome, ImportRequestLine } from "../inventory/import-plan.ts";
import { parseHostInput } from "../inventory/host.ts";
import type { HostStore, OnExisting } from "../inventory/hosts.ts";
import { CoxswainError, isCoxswainError, messageOf } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import type { Directory } from "./directory.ts";

export interface ImportReport {
  readonly created: number;
  readonly updated: number;
  readonly unchanged: number;
  readonly failed: number;
  /** Ascending by line, counted from 1. */
  readonly errors: readonly ImportLineError[];
}

interface ImportLineError {
  readonly line: number;
  readonly id?: string;
  readonly code: string;
  readonly message: string;
}

/** Imports what can be imported; `changed` are the ids that were written. */
export async function importLines(
  body: Uint8Array,
  hosts: HostStore,
  directory: Pick<Directory, "takenAddresses">,
  options: { readonly onExisting: OnExisting; readonly dryRun: boolean },
): Promise<{ report: ImportReport; changed: string[] }> {
  const { lines, errors } = parseLines(body);
  const taken = await directory.takenAddresses(lines.map(({ input }) => input));
  const takenIds = new Map(taken.map((host) => [host.id, host]));
  const accepted = lines.filter(({ line, input }) => {
    const other = takenIds.get(input.id);
    if (other === undefined) return true;
    const message = `Expected \`address\` to be no other host's, got ${other.address} of ${other.by}`;
    errors.push({ line, id: input.id, code: "HOST_ADDRESS_TAKEN", message });
    return false;
  });
  const outcomes = await importHosts(hosts, accepted, {
    onExisting: options.onExisting,
    isDryRun: options.dryRun,
  });
  const count = (wanted: ImportOutcome["outcome"]) =>
    outcomes.filter(({ outcome }) => outcome === wanted).length;
  for (const outcome of outcomes) {
    if (outcome.outcome !== "failed") continue;
    const { line, id, error } = outcome;
    errors.push({ line, id, code: error.code, message: error.message });
  }
  const report = {
    created: count("created"),
    updated: count("updated"),
    unchanged: count("unchanged"),
    failed: errors.length,
    errors: errors.toSorted((left, right) => left.line - right.line),
  };
  const changed = outcomes
    .filter(({ outcome }) => outcome === "created" || outcome === "updated")
    .map(({ id }) => id);
  return { report, changed };
}

function parseLines(body: Uint8Array): { lines: ImportRequestLine[]; errors: ImportLineError[] } {
  const lines: ImportRequestLine[] = [];
  const errors: ImportLineError[] = [];
  const byAddress = new Map<string, number>();
  const texts = new TextDecoder().decode(body).split("\n");
  for (const [index, text] of texts.entries()) {
    if (text.trim() === "") continue;
    const line = index + 1;
    if (lines.length + errors.length >= limits.importHostsMax) {
      throw new CoxswainError(
        "REQUEST_TOO_LARGE",
        `Expected at most ${limits.importHostsMax} hosts in one import, got more`,
      );
    }
    try {
      const input = parseHostInput(parseJson(text));
      const before = input.address === "" ? undefined : byAddress.get(input.address);
      if (before !== undefined) {
        const message = `Expected \`address\` once in an import, got ${input.address} on lines ${before} and ${line}`;
        throw new CoxswainError("HOST_ADDRESS_TAKEN", message);
      }
      byAddress.set(input.address, line);
      lines.push({ line, input });
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      errors.push({ line, code: error.code, message: error.message });
    }
  }
  return { lines, errors };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CoxswainError("HOST_INVALID", `Expected a JSON object: ${messageOf(error)}`);
  }
}
