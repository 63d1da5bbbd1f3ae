/**
 * Import: many hosts at once, partition by partition.
 *
 * A partition is read once, takes one number for all its changed hosts, writes each of its packs once, and
 * moves its head once after them: an import of a large file costs a fraction of a call a host. A line is
 * reported as stored only after the head has moved, so that an acknowledged host is one that its owner will
 * find; a line that is reported as failed may be sent again.
 */
import assert from "node:assert/strict";
import { CoxswainError } from "../kernel/errors.ts";
import { forEachBounded } from "./bounded.ts";
import type { HostStore, LoadedPartition, OnExisting } from "./hosts.ts";
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
import { PartitionImport, type PartitionOutcome } from "./partition-import.ts";

const partitionsAtOnceMax = 16;
/** Goes at the lines of a partition that others write, too, before each line is written alone. */
const goesMax = 5;

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
  const outcomes = new Map<string, ImportOutcome>();
  await forEachBounded(groups, partitionsAtOnceMax, async (group) => {
    for (const outcome of await importGroup(hosts, group, options)) {
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

async function importGroup(
  hosts: HostStore,
  group: Group,
  { onExisting, isDryRun = false }: ImportOptions,
): Promise<ImportOutcome[]> {
  if (isDryRun) return (await plan(hosts, group, onExisting)).planned.map(plannedOutcome);
  const outcomes: ImportOutcome[] = [];
  let open = group;
  for (let goes = 0; goes < goesMax && open.lines.length > 0; goes++) {
    const done = await importOnce(hosts, open, onExisting);
    outcomes.push(...done.outcomes);
    for (const line of done.alone) outcomes.push(await putAlone(hosts, line, onExisting));
    open = { ...group, head: undefined, lines: done.open };
  }
  for (const line of open.lines) outcomes.push(await putAlone(hosts, line, onExisting));
  return outcomes;
}

async function importOnce(
  hosts: HostStore,
  group: Group,
  onExisting: OnExisting,
): Promise<PartitionOutcome> {
  const { partition } = group;
  let { planned, loaded } = await plan(hosts, group, onExisting);
  if (!planned.some(isWrite)) return run(loaded.revision);
  try {
    const number = await hosts.partitions.next(partition);
    if (number === loaded.revision + 1) return await run(number);
    // Others wrote between the reading and the number: decided anew, of after it.
    ({ planned, loaded } = await plan(hosts, { ...group, head: number }, onExisting));
    return await run(planned.some(isWrite) ? await hosts.partitions.next(partition) : number);
  } catch (error) {
    const cause = storeError(error);
    const outcomes = planned.map((line) =>
      line.plan.kind === "refused" ? plannedOutcome(line) : failed(line, cause),
    );
    return { outcomes, open: [], alone: [] };
  }

  function run(revision: number): Promise<PartitionOutcome> {
    return new PartitionImport(hosts, partition, loaded, planned, revision).run();
  }
}

function isWrite({ plan: { kind } }: PlannedLine): boolean {
  return kind === "write";
}

async function putAlone(
  hosts: HostStore,
  line: ImportRequestLine,
  onExisting: OnExisting,
): Promise<ImportOutcome> {
  try {
    const { outcome } = await hosts.put(line.input, onExisting);
    return { line: line.line, id: line.input.id, outcome };
  } catch (error) {
    return failed(line, storeError(error));
  }
}

interface PartitionPlan {
  readonly loaded: LoadedPartition;
  readonly planned: readonly PlannedLine[];
}

async function plan(
  hosts: HostStore,
  { partition, head, lines }: Group,
  onExisting: OnExisting,
): Promise<PartitionPlan> {
  try {
    const loaded = await hosts.load(partition, head);
    const planned = planGroup(loaded, lines, onExisting, (hostCount) =>
      hosts.partitions.checkRoom(partition, hostCount),
    );
    return { loaded, planned };
  } catch (error) {
    const cause = storeError(error);
    return {
      loaded: { revision: 0, hosts: [], packs: [], damaged: [] },
      planned: lines.map((line) => refused(line, cause)),
    };
  }
}

function repeatedId({ line, input }: ImportRequestLine, before: number): CoxswainError {
  return new CoxswainError(
    "HOST_INVALID",
    `Expected each \`id\` once, got ${input.id} on lines ${before} and ${line}`,
    { details: { field: "id", rule: "once in an import", value: input.id, lines: [before, line] } },
  );
}
