/**
 * Writes one partition back to a table that lost it, and looks whether it stayed.
 *
 * The counter goes first, above every number that was ever given; then records that are missing or
 * older, each with the number it had. Two kinds get a new number, because their old one may have
 * been used at the host for something else: a record of the same number with other contents (what is known
 * here wins), and one that the table has again although it was removed here. Then everything is
 * read once more: a table that was lost again in between must not pass for one that was put right.
 */
import type { HostId, HostRecord } from "../inventory/host.ts";
import { presenceIn, type HostStore, type LoadedPartition } from "../inventory/hosts.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { isFork, isOlder, type KnownPartition } from "./losses.ts";

const triesMax = 3;

interface RestorePlan {
  /** Missing in the table. */
  readonly missing: readonly HostRecord[];
  readonly older: readonly HostRecord[];
  /** To be written with a new number, IF the table's record still has the number of this one. */
  readonly renumbered: readonly HostRecord[];
}

/** What makes one suspect that the partition was lost. */
export interface Suspicion {
  /** Its counter went back, or the view did. Otherwise nothing is written unless records went back. */
  readonly isLost: boolean;
  /** Hosts that came anew with a number of before. */
  readonly reappeared: ReadonlyMap<HostId, number>;
}

/**
 * Restores what is `known` of a partition. Throws STORE_WENT_BACK where it is lost again and again,
 * and the store's errors; repeating is harmless.
 */
export async function restorePartition(
  hosts: HostStore,
  partition: number,
  known: KnownPartition,
  suspicion: Suspicion,
): Promise<void> {
  for (let tries = 0; tries <= triesMax; tries++) {
    const head = await hosts.partitions.head(partition);
    // Read whatever the counter says: without one the records may be there all the same.
    const stored = await hosts.load(partition, Math.max(1, head));
    const plan = planRestore(known, stored, suspicion.reappeared);
    const isDoubted = plan.older.length + plan.renumbered.length > 0;
    if (tries === 0 && !suspicion.isLost && !isDoubted) return;
    if (!isDoubted && plan.missing.length === 0 && head >= known.revision) return;
    if (tries < triesMax) await writeBack(hosts, partition, known.revision, plan);
  }
  throw new CoxswainError(
    "STORE_WENT_BACK",
    `Expected partition ${partition} to keep what was written back, got it lost again`,
  );
}

function planRestore(
  known: KnownPartition,
  stored: LoadedPartition,
  reappeared: ReadonlyMap<HostId, number>,
): RestorePlan {
  const storedById = new Map(stored.hosts.map((record) => [record.id, record]));
  const isPresent = presenceIn(stored);
  const missing: HostRecord[] = [];
  const older: HostRecord[] = [];
  const renumbered: HostRecord[] = [];
  for (const record of known.hosts.values()) {
    const found = storedById.get(record.id);
    if (found === undefined) {
      if (!isPresent(record.id)) missing.push(record);
    } else if (isOlder(found, record)) older.push(record);
    else if (isFork(found, record)) renumbered.push(record);
    else if (reappeared.get(record.id) === found.revision) renumbered.push(found);
  }
  for (const record of stored.hosts) {
    if (!known.hosts.has(record.id) && record.revision <= known.revision) renumbered.push(record);
  }
  return { missing, older, renumbered };
}

async function writeBack(
  hosts: HostStore,
  partition: number,
  revision: number,
  { missing, older, renumbered }: RestorePlan,
): Promise<void> {
  const { partitions } = hosts;
  await partitions.restoreHead(partition, revision + 1);
  for (const record of [...missing, ...older]) await partitions.restore(partition, record);
  for (const record of renumbered) await hosts.renumber(record);
  // Last, so that whoever loaded in between reads again.
  await partitions.next(partition);
}
