/**
 * Import: many hosts at once, partition by partition.
 *
 * A partition is read once, takes one number for all its changed hosts, and moves its head once after
 * them: an import of a large file costs little more than its writes. A line is reported as stored only
 * after the head has moved, so that an acknowledged host is one that its owner will find; a line that
 * is reported as failed may be sent again.
 */
import assert from "node:assert/strict";
import { CoxswainError } from "../kernel/errors.ts";
import { forEachBounded } from "./bounded.ts";
import { isSameHost } from "./host-codec.ts";
import type { HostInput, HostRecord } from "./host.ts";
import {
  hostExists,
  mergedInput,
  recordOf,
  type HostStore,
  type LoadedPartition,
  type OnExisting,
  type PutOutcome,
} from "./hosts.ts";
import type { HostChange } from "./partition-store.ts";

/** Partitions under way at once. */
const partitionsAtOnceMax = 16;

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

export interface ImportOptions {
  readonly onExisting: OnExisting;
  /** Works out the outcomes without writing anything. */
  readonly isDryRun?: boolean;
}

/** What is to be done with one line. */
type Plan =
  | { readonly kind: "unchanged"; readonly revision: number }
  | { readonly kind: "refused"; readonly error: CoxswainError }
  | { readonly kind: "write"; readonly seen: HostRecord | undefined; readonly input: HostInput };

type PlannedLine = ImportRequestLine & { readonly plan: Plan };

/** Imports `lines`; outcomes are in the order of the lines. Failures are outcomes, not throws. */
export async function importHosts(
  hosts: HostStore,
  lines: readonly ImportRequestLine[],
  options: ImportOptions,
): Promise<ImportOutcome[]> {
  const firstById = new Map<string, ImportRequestLine>();
  for (const line of lines) {
    if (!firstById.has(line.input.id)) firstById.set(line.input.id, line);
  }
  const groups = [
    ...Map.groupBy(firstById.values(), ({ input }) => hosts.partitionOf(input.id)),
  ].toSorted(([left], [right]) => left - right);
  const outcomes = new Map<string, ImportOutcome>();
  const heads = await headsOf(
    hosts,
    groups.map(([partition]) => partition),
  );
  await forEachBounded(groups, partitionsAtOnceMax, async ([partition, group]) => {
    for (const outcome of await importGroup(
      hosts,
      [partition, heads?.get(partition)],
      group,
      options,
    )) {
      outcomes.set(outcome.id, outcome);
    }
  });
  return lines.map((line) => {
    const first = firstById.get(line.input.id);
    const outcome = outcomes.get(line.input.id);
    assert(first !== undefined && outcome !== undefined, "every line has an outcome");
    return first === line ? outcome : failed(line, repeatedId(line, first.line));
  });
}

/**
 * One read for a hundred partitions: those that never had a host need no other. What is written later
 * is bound to what was seen, so a host that appears in between is noticed by its own write. Undefined
 * where the store does not answer: each partition then says so for its own lines.
 */
async function headsOf(
  hosts: HostStore,
  partitions: readonly number[],
): Promise<Map<number, number> | undefined> {
  try {
    return await hosts.heads(partitions);
  } catch (error) {
    if (!(error instanceof CoxswainError)) throw error;
    return undefined;
  }
}

async function importGroup(
  hosts: HostStore,
  [partition, head]: readonly [partition: number, head: number | undefined],
  group: readonly ImportRequestLine[],
  options: ImportOptions,
): Promise<ImportOutcome[]> {
  try {
    const loaded = await hosts.load(partition, head);
    const planned = planGroup(hosts, partition, loaded, group, options);
    if (options.isDryRun) return planned.map(plannedOutcome);
    return await carryOut(hosts, partition, planned, options);
  } catch (error) {
    const cause = storeError(error);
    return group.map((line) => failed(line, cause));
  }
}

function planGroup(
  hosts: HostStore,
  partition: number,
  loaded: LoadedPartition,
  group: readonly ImportRequestLine[],
  { onExisting }: ImportOptions,
): PlannedLine[] {
  const byId = new Map(loaded.hosts.map((record) => [record.id, record]));
  const damaged = new Map(loaded.damaged.map(({ id, error }) => [id, error]));
  let count = loaded.hosts.length + loaded.damaged.length;
  return group.map((line) => {
    const { input } = line;
    const seen = byId.get(input.id);
    const error = damaged.get(input.id);
    if (error !== undefined) return { ...line, plan: { kind: "refused", error } };
    if (seen !== undefined) return { ...line, plan: planExisting(seen, input, onExisting) };
    try {
      hosts.partitions.checkRoom(partition, count);
    } catch (full) {
      return { ...line, plan: { kind: "refused", error: storeError(full) } };
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

async function carryOut(
  hosts: HostStore,
  partition: number,
  planned: readonly PlannedLine[],
  options: ImportOptions,
): Promise<ImportOutcome[]> {
  const settled = new Map<PlannedLine, ImportOutcome>();
  const written = await writeAll(hosts, partition, planned, settled);
  const unchanged = planned.filter(({ plan }) => plan.kind === "unchanged");
  try {
    if (written.size > 0) {
      const changes = [...written.values()];
      await hosts.partitions.announce(partition, changes[0]?.record.revision ?? 0, changes);
    } else if (unchanged.length > 0) {
      const revisions = unchanged.map(({ plan }) =>
        plan.kind === "unchanged" ? plan.revision : 0,
      );
      await hosts.partitions.ensureAnnounced(partition, Math.max(...revisions));
    }
    for (const [line] of written) settled.set(line, plannedOutcome(line));
    for (const line of unchanged) settled.set(line, plannedOutcome(line));
  } catch (error) {
    // Stored but not announced: not acknowledged, and safe to send again.
    const cause = storeError(error);
    for (const line of [...written.keys(), ...unchanged]) settled.set(line, failed(line, cause));
  }
  const results: ImportOutcome[] = [];
  for (const line of planned) {
    results.push(settled.get(line) ?? (await putAlone(hosts, line, options)));
  }
  return results;
}

/**
 * Writes what is planned, all with one number. Lines refused by plan or by the store are settled;
 * those that someone else changed meanwhile are left for `putAlone`.
 */
async function writeAll(
  hosts: HostStore,
  partition: number,
  planned: readonly PlannedLine[],
  settled: Map<PlannedLine, ImportOutcome>,
): Promise<Map<PlannedLine, HostChange>> {
  const written = new Map<PlannedLine, HostChange>();
  let revision: number | undefined;
  let failure: CoxswainError | undefined;
  for (const line of planned) {
    const { plan } = line;
    if (plan.kind === "refused") settled.set(line, failed(line, plan.error));
    if (plan.kind !== "write") continue;
    // After one failure the rest is not tried: a store in trouble gets no more work from here.
    if (failure === undefined) {
      try {
        revision ??= await hosts.partitions.next(partition);
        const change = { record: recordOf(plan.input, revision), seen: plan.seen };
        if ((await hosts.partitions.write(partition, change)) === "written")
          written.set(line, change);
        continue;
      } catch (error) {
        failure = storeError(error);
      }
    }
    settled.set(line, failed(line, failure));
  }
  return written;
}

async function putAlone(
  hosts: HostStore,
  line: PlannedLine,
  { onExisting }: ImportOptions,
): Promise<ImportOutcome> {
  try {
    const { outcome } = await hosts.put(line.input, onExisting);
    return { line: line.line, id: line.input.id, outcome };
  } catch (error) {
    return failed(line, storeError(error));
  }
}

/** The outcome of a line whose plan has been, or would be, carried out. */
function plannedOutcome(line: PlannedLine): ImportOutcome {
  const { plan } = line;
  if (plan.kind === "refused") return failed(line, plan.error);
  const { id } = line.input;
  if (plan.kind === "unchanged") return { line: line.line, id, outcome: "unchanged" };
  return { line: line.line, id, outcome: plan.seen === undefined ? "created" : "updated" };
}

function failed({ line, input }: ImportRequestLine, error: CoxswainError): ImportOutcome {
  return { line, id: input.id, outcome: "failed", error };
}

function repeatedId({ line, input }: ImportRequestLine, before: number): CoxswainError {
  return new CoxswainError(
    "HOST_INVALID",
    `Expected each \`id\` once, got ${input.id} on lines ${before} and ${line}`,
    { details: { field: "id", rule: "once in an import", value: input.id, lines: [before, line] } },
  );
}

/** Operating errors become outcomes of lines; anything else is a defect and passes through. */
function storeError(error: unknown): CoxswainError {
  if (error instanceof CoxswainError) return error;
  throw error;
}
