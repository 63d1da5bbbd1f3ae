/**
 * Import: many hosts at once, partition by partition.
 *
 * A partition is read once, takes one number for all its changed hosts, and moves its head once after
 * them; partitions are written a few at a time, whose new hosts share requests: an import of a large
 * file costs a fraction of a call a host. A line is reported as stored only after the head has moved,
 * so that an acknowledged host is one that its owner will find; a line that is reported as failed may
 * be sent again.
 */
import assert from "node:assert/strict";
import { CoxswainError } from "../kernel/errors.ts";
import { forEachBounded } from "./bounded.ts";
import type { HostStore, OnExisting } from "./hosts.ts";
import {
  failed,
  plannedOutcome,
  planGroup,
  refused,
  storeError,
  type ImportOutcome,
  type ImportRequestLine,
  type PlannedLine,
} from "./import-plan.ts";
import { insertCreations, PartitionImport } from "./partition-import.ts";

/**
 * Partitions that are written together. More would fill batches better, but the time from a
 * partition's number to its head grows with the others: whoever changes it in between costs one more
 * write a new host.
 */
const bundlePartitionsMax = 4;
/** Bundles under way at once: 16 partitions. */
const bundlesAtOnceMax = 4;

export interface ImportOptions {
  readonly onExisting: OnExisting;
  /** Works out the outcomes without writing anything. */
  readonly isDryRun?: boolean;
}

/** The lines of one partition, and its head where it was read. */
interface Group {
  readonly partition: number;
  readonly head: number | undefined;
  readonly lines: readonly ImportRequestLine[];
}

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
  const groups = await groupsOf(hosts, [...firstById.values()]);
  const bundles = Array.from({ length: Math.ceil(groups.length / bundlePartitionsMax) }, (_, at) =>
    groups.slice(at * bundlePartitionsMax, (at + 1) * bundlePartitionsMax),
  );
  const outcomes = new Map<string, ImportOutcome>();
  await forEachBounded(bundles, bundlesAtOnceMax, async (bundle) => {
    for (const outcome of await importBundle(hosts, bundle, options)) {
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

async function groupsOf(hosts: HostStore, lines: readonly ImportRequestLine[]): Promise<Group[]> {
  const byPartition = [...Map.groupBy(lines, ({ input }) => hosts.partitionOf(input.id))].toSorted(
    ([left], [right]) => left - right,
  );
  const heads = await headsOf(
    hosts,
    byPartition.map(([partition]) => partition),
  );
  return byPartition.map(([partition, group]) => ({
    partition,
    head: heads?.get(partition),
    lines: group,
  }));
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

async function importBundle(
  hosts: HostStore,
  bundle: readonly Group[],
  { onExisting, isDryRun = false }: ImportOptions,
): Promise<ImportOutcome[]> {
  const plans = await Promise.all(bundle.map((group) => plan(hosts, group, onExisting)));
  if (isDryRun) return plans.flat().map(plannedOutcome);
  const imports = bundle.map(
    ({ partition }, index) => new PartitionImport(hosts, partition, plans[index] ?? []),
  );
  await Promise.all(imports.map((each) => each.begin()));
  await insertCreations(hosts, imports);
  return (await Promise.all(imports.map((each) => each.finish(onExisting)))).flat();
}

async function plan(
  hosts: HostStore,
  { partition, head, lines }: Group,
  onExisting: OnExisting,
): Promise<PlannedLine[]> {
  try {
    const loaded = await hosts.load(partition, head);
    return planGroup(loaded, lines, onExisting, (hostCount) =>
      hosts.partitions.checkRoom(partition, hostCount),
    );
  } catch (error) {
    const cause = storeError(error);
    return lines.map((line) => refused(line, cause));
  }
}

function repeatedId({ line, input }: ImportRequestLine, before: number): CoxswainError {
  return new CoxswainError(
    "HOST_INVALID",
    `Expected each \`id\` once, got ${input.id} on lines ${before} and ${line}`,
    { details: { field: "id", rule: "once in an import", value: input.id, lines: [before, line] } },
  );
}
