/**
 * What an import does with each line of one partition, decided from the partition as it was read.
 *
 * Pure: a line becomes an outcome at once, or a write bound to what was seen (nothing, or one record).
 */
import { CoxswainError } from "../kernel/errors.ts";
import { isSameHost } from "./host-codec.ts";
import { packNameOf } from "./host-pack.ts";
import type { HostInput, HostRecord } from "./host.ts";
import {
  hostExists,
  mergedInput,
  type LoadedPartition,
  type OnExisting,
  type PutOutcome,
} from "./hosts.ts";

export interface ImportRequestLine {
  readonly line: number;
  readonly input: HostInput;
}

export type ImportOutcome =
  | { readonly line: number; readonly id: string; readonly outcome: PutOutcome }
  | {
      readonly line: number;
      readonly id: string;
      readonly outcome: "failed";
      readonly error: CoxswainError;
    };

/** What is to be done with one line. */
type Plan =
  | { readonly kind: "unchanged"; readonly revision: number }
  | { readonly kind: "refused"; readonly error: CoxswainError }
  | { readonly kind: "write"; readonly seen: HostRecord | undefined; readonly input: HostInput };

export type PlannedLine = ImportRequestLine & { readonly plan: Plan };

/** `checkRoom` throws PARTITION_FULL where so many hosts leave no room for one more. */
export function planGroup(
  loaded: LoadedPartition,
  group: readonly ImportRequestLine[],
  onExisting: OnExisting,
  checkRoom: (hostCount: number) => void,
): PlannedLine[] {
  const byId = new Map(loaded.hosts.map((record) => [record.id, record]));
  const damaged = new Map(loaded.damaged.map(({ id, error }) => [id, error]));
  let count = loaded.hosts.length + loaded.damaged.length;
  return group.map((line) => {
    const { input } = line;
    const seen = byId.get(input.id);
    const ownError = damaged.get(input.id);
    if (ownError !== undefined) return refused(line, ownError);
    if (seen !== undefined) return { ...line, plan: planExisting(seen, input, onExisting) };
    const packError = damaged.get(packNameOf(input.id));
    if (packError !== undefined) return refused(line, packError);
    try {
      checkRoom(count);
    } catch (full) {
      return refused(line, storeError(full));
    }
    count++;
    return { ...line, plan: { kind: "write", seen, input } };
  });
}

function planExisting(seen: HostRecord, input: HostInput, onExisting: OnExisting): Plan {
  if (isSameHost(seen, input)) return { kind: "unchanged", revision: seen.revision };
  if (onExisting === "refuse") return { kind: "refused", error: hostExists(input.id) };
  return { kind: "write", seen, input: mergedInput(seen, input) };
}

export function refused(line: ImportRequestLine, error: CoxswainError): PlannedLine {
  return { ...line, plan: { kind: "refused", error } };
}

/** The outcome of a line whose plan has been, or would be, carried out. */
export function plannedOutcome(line: PlannedLine): ImportOutcome {
  const { plan } = line;
  if (plan.kind === "refused") return failed(line, plan.error);
  const { id } = line.input;
  if (plan.kind === "unchanged") return { line: line.line, id, outcome: "unchanged" };
  return { line: line.line, id, outcome: plan.seen === undefined ? "created" : "updated" };
}

export function failed({ line, input }: ImportRequestLine, error: CoxswainError): ImportOutcome {
  return { line, id: input.id, outcome: "failed", error };
}

/** Operating errors become outcomes of lines; anything else is a defect and passes through. */
export function storeError(error: unknown): CoxswainError {
  if (error instanceof CoxswainError) return error;
  throw error;
}
