/**
 * The writes of an import in one partition: all with one number, new hosts first and in batches that
 * partitions share, then whatever needs a write of its own, then the head.
 *
 * A batch settles most new hosts. What it leaves open (someone was first, or no answer came) is written
 * once more alone, under the same condition and with the same number, which tells what became of it.
 * After one failure the partition gets no more writes, but what is written is still announced. A line
 * has an outcome other than `failed` only after the head has moved.
 */
import { CoxswainError } from "../kernel/errors.ts";
import { insertItemsMax, type InsertOutcome } from "../store/store.ts";
import type { HostRecord } from "./host.ts";
import { recordOf, type HostStore, type OnExisting } from "./hosts.ts";
import {
  failed,
  plannedOutcome,
  storeError,
  type ImportOutcome,
  type PlannedLine,
} from "./import-plan.ts";
import type { HostChange } from "./partition-store.ts";

/** A host that a batch may write. */
interface Creation {
  readonly of: PartitionImport;
  readonly line: PlannedLine;
  readonly partition: number;
  readonly record: HostRecord;
}

/** `begin`, then `insertCreations` with other partitions, then `finish`. */
export class PartitionImport {
  readonly #hosts: HostStore;
  readonly #partition: number;
  readonly #planned: readonly PlannedLine[];
  readonly #written = new Map<PlannedLine, HostChange>();
  readonly #settled = new Map<PlannedLine, ImportOutcome>();
  #revision = 0;
  #failure: CoxswainError | undefined;

  constructor(hosts: HostStore, partition: number, planned: readonly PlannedLine[]) {
    this.#hosts = hosts;
    this.#partition = partition;
    this.#planned = planned;
  }

  get hasFailed(): boolean {
    return this.#failure !== undefined;
  }

  /** Takes the number of all writes, if there are any. */
  async begin(): Promise<void> {
    if (!this.#planned.some(({ plan }) => plan.kind === "write")) return;
    try {
      this.#revision = await this.#hosts.partitions.next(this.#partition);
    } catch (error) {
      this.#failure = storeError(error);
    }
  }

  /** The new hosts, in the order of the lines. */
  creations(): Creation[] {
    return this.#planned.flatMap((line) => {
      const change = this.#changeOf(line);
      if (change === undefined || change.seen !== undefined) return [];
      return [{ of: this, line, partition: this.#partition, record: change.record }];
    });
  }

  /** Takes what a batch says of one creation; what it does not know is left for `finish`. */
  settle(line: PlannedLine, outcome: InsertOutcome): void {
    const change = this.#changeOf(line);
    if (outcome.kind === "written" && change !== undefined) this.#written.set(line, change);
    if (outcome.kind === "notWritten") this.#fail(line, outcome.error);
  }

  /** Writes the rest, moves the head, and says what became of each line. */
  async finish(onExisting: OnExisting): Promise<ImportOutcome[]> {
    await this.#writeRest();
    await this.#announce();
    const outcomes: ImportOutcome[] = [];
    for (const line of this.#planned) {
      outcomes.push(this.#settled.get(line) ?? (await this.#putAlone(line, onExisting)));
    }
    return outcomes;
  }

  #changeOf({ plan }: PlannedLine): HostChange | undefined {
    if (plan.kind !== "write") return undefined;
    return { record: recordOf(plan.input, this.#revision), seen: plan.seen };
  }

  #fail(line: PlannedLine, error: CoxswainError): void {
    this.#failure ??= error;
    this.#settled.set(line, failed(line, error));
  }

  /** Lines that someone else changed meanwhile stay without an outcome, for `#putAlone`. */
  async #writeRest(): Promise<void> {
    for (const line of this.#planned) {
      const change = this.#changeOf(line);
      if (line.plan.kind === "refused") this.#settled.set(line, plannedOutcome(line));
      if (change === undefined || this.#settled.has(line) || this.#written.has(line)) continue;
      if (this.#failure !== undefined) {
        this.#fail(line, this.#failure);
        continue;
      }
      try {
        const outcome = await this.#hosts.partitions.write(this.#partition, change);
        if (outcome === "written") this.#written.set(line, change);
      } catch (error) {
        this.#fail(line, storeError(error));
      }
    }
  }

  async #announce(): Promise<void> {
    const changes = [...this.#written.values()];
    const unchanged = this.#planned.filter(({ plan }) => plan.kind === "unchanged");
    const revisions = unchanged.map(({ plan }) => (plan.kind === "unchanged" ? plan.revision : 0));
    const done = [...this.#written.keys(), ...unchanged];
    try {
      if (changes.length > 0) {
        await this.#hosts.partitions.announce(this.#partition, this.#revision, changes);
      } else if (unchanged.length > 0) {
        await this.#hosts.partitions.ensureAnnounced(this.#partition, Math.max(...revisions));
      }
      for (const line of done) this.#settled.set(line, plannedOutcome(line));
    } catch (error) {
      // Stored but not announced: not acknowledged, and safe to send again.
      for (const line of done) this.#settled.set(line, failed(line, storeError(error)));
    }
  }

  async #putAlone(line: PlannedLine, onExisting: OnExisting): Promise<ImportOutcome> {
    try {
      const { outcome } = await this.#hosts.put(line.input, onExisting);
      return { line: line.line, id: line.input.id, outcome };
    } catch (error) {
      return failed(line, storeError(error));
    }
  }
}

/**
 * Writes the new hosts of `imports`, a batch at a time and full ones as far as they go. A partition
 * that has failed is in no later batch.
 */
export async function insertCreations(
  hosts: HostStore,
  imports: readonly PartitionImport[],
): Promise<void> {
  let waiting = imports.flatMap((each) => each.creations());
  for (;;) {
    waiting = waiting.filter(({ of }) => !of.hasFailed);
    const batch = waiting.splice(0, insertItemsMax);
    if (batch.length === 0) return;
    const outcomes = await insertBatch(hosts, batch);
    for (const [index, { of, line }] of batch.entries()) {
      const outcome = outcomes[index];
      if (outcome !== undefined) of.settle(line, outcome);
    }
  }
}

async function insertBatch(
  hosts: HostStore,
  batch: readonly Creation[],
): Promise<readonly InsertOutcome[]> {
  try {
    return await hosts.partitions.insert(batch);
  } catch (error) {
    if (!(error instanceof CoxswainError)) throw error;
    return batch.map(() => ({ kind: "notWritten", error }));
  }
}
