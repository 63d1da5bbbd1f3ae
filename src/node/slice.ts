/**
 * The slice: the partitions this node serves, their hosts, and what each host should hold.
 *
 * A new view changes the wanted set at once; gained partitions are loaded, then the node reports that
 * it has the view; lost ones are served on until the successor reports the same, so that a move has an
 * overlap and no gap. The fence at the host makes the overlap harmless.
 *
 * Records only move forward: a load is applied unless a newer one was, and an empty slice is only ever
 * the store's own answer. A failed read changes nothing, and a table that went back takes nothing away.
 * In a raised generation nothing is pushed by rules older than the ones that the view names.
 */
import { isCoxswainError } from "../kernel/errors.ts";
import type { HostId, HostRecord } from "../inventory/host.ts";
import { presenceIn, type DamagedHost, type LoadedPartition } from "../inventory/hosts.ts";
import type { Fleet } from "../inventory/rules.ts";
import type { Fence } from "../protocol/fence.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HostCheckpoint } from "../push/host-checkpoint.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { PushReason } from "../push/push-ports.ts";
import { place, type Placement } from "../ring/placement.ts";
import { emptyView, isNewerView, type View } from "../ring/view.ts";
import { forEachBounded, inGroups } from "../inventory/bounded.ts";
import { TurnShare } from "../inventory/turn-share.ts";
import { CurrentRules } from "./current-rules.ts";
import { isOutvoted, isOwnView, successorOf } from "./handover.ts";
import { isTableCurrent, Losses, type KnownPartition } from "./losses.ts";
import { placeInTurns } from "./place-in-turns.ts";
import type { Checkpoints, KnownHosts, SlicePorts } from "./slice-ports.ts";

interface ServedPartition {
  revision: number;
  readonly hosts: Map<HostId, HostRecord>;
  /** Set while the partition belongs to another node that has not reported the view yet. */
  releasingSinceMs: number | undefined;
}

/** Partitions whose checkpoints are read with one call. */
const loadsTogether = 16;
const groupsAtOnce = 2;
/** Hosts decoded, or given to the pusher, in one turn of the event loop: a few milliseconds. */
const hostsPerTurn = 400;
const retryLoadMs = 500;

export class Slice {
  readonly #ports: SlicePorts;
  readonly partitionsCount: number;
  readonly #overlapMaxMs: number;
  readonly #served = new Map<number, ServedPartition>();
  #wanted: ReadonlySet<number> = new Set();
  #isMember = false;
  #view: View = emptyView;
  #placement: Placement;
  readonly #rules: CurrentRules;
  readonly #turns: TurnShare;
  #rereadUpTo = -1;
  readonly #changedWhileLoading = new Set<number>();
  /** What the table was seen to lose of the served partitions. */
  readonly losses = new Losses();
  /** Others place hosts differently, and they are as many or more. */
  #isOutvoted = false;
  /** Wanted partitions were not taken up because of that. */
  #isHeldBack = false;

  constructor(ports: SlicePorts, options: { partitionsCount: number; overlapMaxMs: number }) {
    this.#ports = ports;
    this.#rules = new CurrentRules(ports.fleets, ports.log);
    this.#turns = new TurnShare(ports.clock, hostsPerTurn);
    this.partitionsCount = options.partitionsCount;
    this.#overlapMaxMs = options.overlapMaxMs;
    this.#placement = place(emptyView, options.partitionsCount);
  }

  /** The placement of the newest view; every node that has the same view has the same one. */
  get placement(): Placement {
    return this.#placement;
  }

  get view(): View {
    return this.#view;
  }

  get fleet(): Fleet {
    return this.#rules.fleet;
  }

  /** Partitions served now: owned and loaded, or not yet released. Ascending. */
  servedPartitions(): number[] {
    return [...this.#served.keys()].toSorted((left, right) => left - right);
  }

  isServed(partition: number): boolean {
    return this.#served.has(partition);
  }

  /** Hosts of one served partition, in no particular order. */
  hostsOf(partition: number): Iterable<HostRecord> {
    return this.#served.get(partition)?.hosts.values() ?? [];
  }

  /** A copy of what is known of a partition; nothing where it is not served. */
  known(partition: number): KnownPartition {
    const { revision, hosts } = this.#served.get(partition) ?? { revision: 0, hosts: [] };
    return { revision, hosts: new Map(hosts) };
  }

  /** Hosts of a served partition of which nothing but the id is known. */
  damagedIn(partition: number): readonly DamagedHost[] {
    const hosts: ReadonlyMap<string, unknown> | undefined = this.#served.get(partition)?.hosts;
    return this.losses.damagedIn(partition).filter(({ id }) => hosts?.has(id) === false);
  }

  record(partition: number, id: HostId): HostRecord | undefined {
    return this.#served.get(partition)?.hosts.get(id);
  }

  desiredOf(record: HostRecord): Manifest {
    return this.#rules.desired(record);
  }

  fenceOf(record: HostRecord): Fence {
    return this.#rules.fenceOf(this.#view.generation, record.revision);
  }

  hostsCount(): number {
    let count = 0;
    for (const { hosts } of this.#served.values()) count += hosts.size;
    return count;
  }

  /** False until the rules were read once: until then nothing may be pushed. */
  get isFleetKnown(): boolean {
    return this.#rules.isKnown;
  }

  /** True where the store had older rules at the last look than this node has. */
  get isFleetLost(): boolean {
    return this.#rules.isLost;
  }

  /** The head of a served partition at its last load. */
  revisionOf(partition: number): number {
    return this.#served.get(partition)?.revision ?? 0;
  }

  /** True where the snapshot's view is not, or not wholly, taken up and could be. */
  isBehind(snapshot: MembershipSnapshot): boolean {
    if (isNewerView(snapshot.view, this.#view)) return true;
    // A member whose registration got no answer may see the view that has it before it knows its own number.
    if (!this.#isMember && isOwnView(snapshot)) return true;
    return this.#isHeldBack && isOutvoted(snapshot, this.#view, this.#placement.hash) === false;
  }

  /**
   * Takes up a view: places, releases, loads, reports. Ends early when `signal` aborts or a newer view
   * is there (`isSuperseded`), leaving what was loaded for the next call. Does nothing while the rules
   * are older than the view allows.
   */
  async adopt(
    snapshot: MembershipSnapshot,
    isSuperseded: () => boolean,
    signal: AbortSignal,
  ): Promise<void> {
    const { view } = snapshot;
    if (!this.#rules.isEnoughFor(view)) await this.refreshFleet();
    if (!this.#rules.isEnoughFor(view)) return;
    const placement = await placeInTurns(view, this.partitionsCount, this.#ports.clock, signal);
    this.#isOutvoted = isOutvoted(snapshot, this.#view, this.#placement.hash) ?? this.#isOutvoted;
    this.#isHeldBack = false;
    this.#isMember = isOwnView(snapshot);
    const isGenerationNew = view.generation !== this.#view.generation;
    this.#view = view;
    this.#placement = placement;
    this.#wanted = new Set(this.#isMember ? placement.partitionsOf(snapshot.self.slot) : []);
    const atMs = this.#ports.clock.monotonicMs();
    for (const [partition, served] of this.#served) {
      const isWanted = this.#wanted.has(partition);
      served.releasingSinceMs = isWanted ? undefined : (served.releasingSinceMs ?? atMs);
    }
    if (isGenerationNew) await this.#retargetAll("change");
    while (!isSuperseded()) {
      const missing = [...this.#wanted].filter((partition) => !this.#served.has(partition));
      if (missing.length > 0 && this.#isOutvoted) this.#holdBack(missing.length);
      if (missing.length === 0 || this.#isHeldBack) {
        this.#ports.report(view, placement.hash, this.hostsCount());
        return;
      }
      const isComplete = await this.#loadAll(missing, isSuperseded);
      if (!isComplete) await this.#ports.clock.sleep(retryLoadMs, signal);
    }
  }

  /** Lets go of lost partitions whose new owner has reported the view, or that waited too long. */
  async release(snapshot: MembershipSnapshot): Promise<void> {
    const atMs = this.#ports.clock.monotonicMs();
    const { isStoreReachable, isStoreBehind, members } = snapshot;
    if (!isStoreReachable || isStoreBehind) this.#restartReleases(atMs);
    // What a lost table lacks may be in this memory only.
    if (isStoreBehind) return;
    const done = [...this.#served].flatMap(([partition, { releasingSinceMs }]) => {
      if (releasingSinceMs === undefined) return [];
      const owner = this.#placement.ownerOf(partition);
      if (owner === undefined) return [];
      const successor = successorOf(members.get(owner), this.#view, this.#placement.hash);
      const isOverdue = atMs - releasingSinceMs >= this.#overlapMaxMs;
      const isDone = successor === "loaded" || (successor === "loading" && isOverdue);
      return isDone ? [partition] : [];
    });
    if (done.length === 0) return;
    await this.#ports.checkpoints.write(done);
    for (const partition of done) {
      if (!this.#wanted.has(partition)) this.#drop(partition);
    }
    this.#ports.log.info({ partitions: done.length }, "partitions released");
  }

  /** Without the store a successor can neither load nor report: its time starts when it is back. */
  #restartReleases(atMs: number): void {
    for (const served of this.#served.values()) {
      if (served.releasingSinceMs !== undefined) served.releasingSinceMs = atMs;
    }
  }

  /**
   * Reads the partition again if it is served here; throws what the store throws. One that is being
   * loaded at the moment is read once more after that.
   */
  async refreshPartition(partition: number): Promise<void> {
    if (this.#served.has(partition)) await this.#load(partition);
    else if (this.#wanted.has(partition)) this.#changedWhileLoading.add(partition);
  }

  /** Reads the rules; where they moved forward, every served host gets its new target. */
  async refreshFleet(reason: PushReason = "change"): Promise<void> {
    const outcome = await this.#rules.refresh();
    if (outcome === "lost") return;
    // A poll may have seen a rollback first: what it queued still has to go ahead of the rest.
    if (outcome === "same" && reason !== "rollback") return;
    await this.#retargetAll(reason);
  }

  /** Served partitions whose counter in the store is above the one that was loaded. */
  async movedPartitions(read = { isStrong: false }): Promise<number[]> {
    const known = this.servedPartitions().map(
      (served) => [served, this.revisionOf(served)] as const,
    );
    const heads = await this.#ports.hosts.movedHeads(new Map(known), read);
    const found = [...heads].filter(([partition]) => this.#served.has(partition));
    const below = found.filter(([partition, head]) => head < this.revisionOf(partition));
    const above = found.filter(([partition, head]) => head > this.revisionOf(partition));
    this.losses.countersWentBack(below.map(([partition]) => partition));
    return above.map(([partition]) => partition);
  }

  /**
   * Partitions whose turn it is to be read again although nothing says that they changed: a writer
   * that died between its write and the counter leaves a change that only a whole read finds.
   */
  nextToReread(count: number): number[] {
    const served = this.servedPartitions();
    const later = served.filter((partition) => partition > this.#rereadUpTo);
    const chosen = (later.length > 0 ? later : served).slice(0, count);
    this.#rereadUpTo = chosen.at(-1) ?? -1;
    return chosen;
  }

  #holdBack(partitions: number): void {
    this.#isHeldBack = true;
    this.#ports.log.error(
      { partitions, hash: this.#placement.hash },
      "other members place hosts differently: no partition is taken up",
    );
  }

  async #loadAll(partitions: readonly number[], isSuperseded: () => boolean): Promise<boolean> {
    try {
      // One read for a hundred partitions: most of a small fleet's are empty and need no other.
      const heads = await this.#ports.hosts.heads(partitions);
      const groups = inGroups(partitions, loadsTogether);
      await forEachBounded(groups, groupsAtOnce, async (group) => {
        if (isSuperseded()) return;
        const written = group.filter((partition) => heads.get(partition) !== 0);
        const known = this.#ports.checkpoints.read(written);
        const loads = group.map(async (partition) => {
          await this.#load(partition, heads.get(partition), known);
          if (this.#changedWhileLoading.delete(partition)) await this.#load(partition);
        });
        await Promise.all([known, ...loads]);
      });
      return true;
    } catch (error) {
      if (!isCoxswainError(error)) throw error;
      this.#ports.log.warn({ err: error.message }, "partitions cannot be loaded; trying again");
      return false;
    }
  }

  /** `checkpoints`: of partitions that are not served yet. */
  async #load(
    partition: number,
    head?: number,
    checkpoints?: ReturnType<Checkpoints["read"]>,
  ): Promise<void> {
    const loaded = await this.#ports.hosts.load(partition, head, this.#turns);
    const known = (await checkpoints)?.get(partition);
    // What follows the checks below is one step, so its turn is asked for before them.
    await this.#turns.take(loaded.hosts.length);
    const isTorn = await this.#isTorn(partition, loaded);
    const current = this.#served.get(partition);
    if (current === undefined && !this.#wanted.has(partition)) return;
    if (current !== undefined && (isTorn || loaded.revision < current.revision)) return;
    const served = current ?? { revision: 0, hosts: new Map(), releasingSinceMs: undefined };
    this.#served.set(partition, served);
    this.losses.loaded(partition, served, loaded);
    served.revision = loaded.revision;
    this.#take(served.hosts, loaded, current === undefined ? "load" : "record", known);
    for (const { id, error } of loaded.damaged) {
      this.#ports.log.error({ host: id, err: error.message }, "a host record is damaged");
    }
  }

  /** True where a load lacks hosts because the table lost them, and not because they were removed. */
  async #isTorn(partition: number, loaded: LoadedPartition): Promise<boolean> {
    const before = this.#served.get(partition);
    if (before === undefined) return false;
    if ([...before.hosts.keys()].every(presenceIn(loaded))) return false;
    const heads = await this.#ports.hosts.heads([partition]);
    if ((heads.get(partition) ?? 0) < loaded.revision) return true;
    const view = this.#view;
    return !isTableCurrent(await this.#ports.storedView(), view) || this.losses.isHeld(partition);
  }

  #take(
    hosts: Map<HostId, HostRecord>,
    loaded: LoadedPartition,
    reason: PushReason,
    known: KnownHosts | undefined,
  ): void {
    const isPresent = presenceIn(loaded);
    for (const id of hosts.keys()) {
      if (isPresent(id)) continue;
      hosts.delete(id);
      this.#ports.pusher.remove(id);
    }
    for (const record of loaded.hosts) {
      const before = hosts.get(record.id);
      if (before !== undefined && before.revision >= record.revision) continue;
      hosts.set(record.id, record);
      this.#retarget(record, reason, known?.get(record.id));
    }
  }

  #drop(partition: number): void {
    const served = this.#served.get(partition);
    this.#served.delete(partition);
    this.losses.dropped(partition);
    for (const id of served?.hosts.keys() ?? []) this.#ports.pusher.remove(id);
  }

  #retarget(record: HostRecord, reason: PushReason, known?: HostCheckpoint): void {
    const { id, address, modes } = record;
    const target = {
      id,
      address,
      fence: this.fenceOf(record),
      manifest: this.desiredOf(record),
      // Most hosts are dialled: they need no route.
      ...(modes.length === 1 && modes[0] === "dial" ? undefined : { modes }),
    };
    this.#ports.pusher.upsert(target, reason, known);
  }

  /** New rules change what hosts should hold; a new generation changes every fence. */
  async #retargetAll(reason: PushReason): Promise<void> {
    let count = 0;
    for (const partition of this.servedPartitions()) {
      for (const record of this.hostsOf(partition)) {
        this.#retarget(record, reason);
        count += 1;
        if (count % hostsPerTurn === 0) await this.#ports.clock.sleep(0);
      }
    }
  }
}
