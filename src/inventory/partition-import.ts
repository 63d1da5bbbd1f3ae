/**
 * The writes of an import in one partition: all with one number, each pack once, then hosts that have
 * an item of their own, then the head.
 *
 * What someone else was first with is left open, to be decided again. After one failure the partition gets
 * no more writes, but what is written is still announced. A line has an outcome other than `failed` only
 * after the head has moved.
 */
import type { CoxswainError } from "../kernel/errors.ts";
import { encodeHost } from "./host-codec.ts";
import { emptyPack, fittingCount, packIndexOf, withHosts } from "./host-pack.ts";
import type { HostRecord } from "./host.ts";
import { recordOf, type HostStore, type LoadedPartition } from "./hosts.ts";
import {
  failed,
  plannedOutcome,
  storeError,
  type ImportOutcome,
  type PlannedLine,
} from "./import-plan.ts";

/** What is to be written for one line. */
interface Change {
  readonly line: PlannedLine;
  readonly record: HostRecord;
  readonly seen: HostRecord | undefined;
}

export interface PartitionOutcome {
  readonly outcomes: readonly ImportOutcome[];
  /** Lines for which others were first. */
  readonly open: readonly PlannedLine[];
  /** New hosts for which no pack has room. */
  readonly alone: readonly PlannedLine[];
}

/** One go at the planned lines of a partition. */
export class PartitionImport {
  readonly #hosts: HostStore;
  readonly #partition: number;
  readonly #loaded: LoadedPartition;
  readonly #planned: readonly PlannedLine[];
  readonly #revision: number;
  readonly #written = new Set<PlannedLine>();
  readonly #settled = new Map<PlannedLine, ImportOutcome>();
  readonly #alone = new Set<PlannedLine>();
  #failure: CoxswainError | undefined;

  /** `planned` was made of `loaded`; the number `revision` was taken after it. */
  constructor(
    hosts: HostStore,
    partition: number,
    loaded: LoadedPartition,
    planned: readonly PlannedLine[],
    revision: number,
  ) {
    this.#hosts = hosts;
    this.#partition = partition;
    this.#loaded = loaded;
    this.#planned = planned;
    this.#revision = revision;
  }

  /** Failures of the store are outcomes of lines. */
  async run(): Promise<PartitionOutcome> {
    for (const line of this.#planned) {
      if (line.plan.kind === "refused") this.#settled.set(line, plannedOutcome(line));
    }
    const packed = new Set(this.#loaded.packs.flatMap(({ hosts }) => [...hosts.keys()]));
    const changes = this.#changes();
    const isOwn = ({ seen, record }: Change) => seen !== undefined && !packed.has(record.id);
    const byPack = Map.groupBy(
      changes.filter((change) => !isOwn(change)),
      ({ record }) => packIndexOf(record.id),
    );
    const created: HostRecord[] = [];
    for (const [index, some] of byPack) created.push(...(await this.#writePack(index, some)));
    for (const change of changes.filter(isOwn)) await this.#writeOwn(change);
    await this.#announce(created);
    const open = this.#planned.filter((line) => !this.#settled.has(line) && !this.#alone.has(line));
    return { outcomes: [...this.#settled.values()], open, alone: [...this.#alone] };
  }

  /** Writes what is new or has changed in one pack; returns the hosts that are new. */
  async #writePack(index: number, changes: readonly Change[]): Promise<HostRecord[]> {
    const before = this.#loaded.packs.find((pack) => pack.index === index) ?? emptyPack(index);
    const changed = changes.filter(({ seen }) => seen !== undefined);
    const created = changes.filter(({ seen }) => seen === undefined);
    const room = fittingCount(
      before,
      created.map(({ record }) => record),
    );
    for (const { line } of created.splice(room)) this.#alone.add(line);
    const records = [...changed, ...created].map(({ record }) => record);
    if (records.length === 0) return [];
    const next = withHosts(before, records, this.#revision);
    const isWritten = await this.#write([...changed, ...created], () =>
      this.#hosts.partitions.writePack(this.#partition, before, next),
    );
    return isWritten ? created.map(({ record }) => record) : [];
  }

  #changes(): Change[] {
    return this.#planned.flatMap((line) => {
      const { plan } = line;
      if (plan.kind !== "write") return [];
      return [{ line, seen: plan.seen, record: recordOf(plan.input, this.#revision) }];
    });
  }

  async #writeOwn(change: Change): Promise<void> {
    await this.#write([change], () => this.#hosts.partitions.write(this.#partition, change));
  }

  async #write(
    changes: readonly Change[],
    write: () => Promise<"written" | "changed">,
  ): Promise<boolean> {
    try {
      if (this.#failure !== undefined) throw this.#failure;
      if ((await write()) === "changed") return false;
      for (const { line } of changes) this.#written.add(line);
      return true;
    } catch (error) {
      this.#failure ??= storeError(error);
      for (const { line } of changes) this.#settled.set(line, failed(line, this.#failure));
      return false;
    }
  }

  async #announce(created: readonly HostRecord[]): Promise<void> {
    const unchanged = this.#planned.filter(({ plan }) => plan.kind === "unchanged");
    const revisions = unchanged.map(({ plan }) => (plan.kind === "unchanged" ? plan.revision : 0));
    const { partitions } = this.#hosts;
    try {
      if (this.#written.size > 0) {
        const head = await partitions.next(this.#partition);
        // Two numbers since the reading, where nobody else took one.
        if (head !== this.#loaded.revision + 2 && created.length > 0) {
          await this.#settle(created, head);
        }
      } else if (unchanged.length > 0) {
        await partitions.ensureAnnounced(this.#partition, Math.max(...revisions));
      }
      for (const line of [...this.#written, ...unchanged]) {
        this.#settled.set(line, plannedOutcome(line));
      }
    } catch (error) {
      // Stored but not announced: not acknowledged, and safe to send again.
      for (const line of [...this.#written, ...unchanged]) {
        this.#settled.set(line, failed(line, storeError(error)));
      }
    }
  }

  /** Others changed the partition while this wrote new hosts; those whom someone else created stay open. */
  async #settle(created: readonly HostRecord[], revision: number): Promise<void> {
    const { partitions } = this.#hosts;
    for (const [index, own] of Map.groupBy(created, ({ id }) => packIndexOf(id))) {
      const written = new Map(own.map((record) => [record.id, encodeHost(record)]));
      const twins = await partitions.settlePacked(this.#partition, index, written, revision);
      for (const line of this.#written) {
        if (twins.has(line.input.id)) this.#written.delete(line);
      }
    }
    await partitions.next(this.#partition);
  }
}
