/**
 * Parts of a node for its unit tests: a slice over a memory store and virtual time, with a pusher that
 * only writes down what it is told.
 */
import type { HostCheckpoint } from "../push/host-checkpoint.ts";
import { checkpointOf } from "../push/host-checkpoint.ts";
import { newStatus, type HostStatus } from "../push/host-status.ts";
import { Tally, type PushCounts } from "../push/push-counts.ts";
import type { Pusher, PushTarget } from "../push/pusher.ts";
import { FleetStore } from "../inventory/fleet.ts";
import { parseHostId, parseHostInput, type HostId } from "../inventory/host.ts";
import { HostStore } from "../inventory/hosts.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createRandom } from "../kernel/random.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import type { MemberReport } from "../membership/member.ts";
import { partitionOf } from "../ring/hash.ts";
import type { View, ViewMember } from "../ring/view.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { Slice } from "./slice.ts";
import type { Checkpoints } from "./slice-ports.ts";

export const partitionsCount = 64;
export const overlapMaxMs = 10_000;

/** A pusher that pushes nothing: the port, its calls and its targets. */
class RecordingPusher implements Pusher {
  readonly targets = new Map<HostId, PushTarget>();
  readonly statuses = new Map<HostId, HostStatus>();
  /** `reason id` and `remove id`, in order. */
  readonly calls: string[] = [];
  readonly known = new Map<HostId, HostCheckpoint>();
  /** Pushes that wait or are under way. */
  queued = 0;

  upsert(target: PushTarget, reason: string, known?: HostCheckpoint): void {
    this.targets.set(target.id, target);
    this.calls.push(`${reason} ${target.id}`);
    if (known !== undefined) this.known.set(target.id, known);
  }

  remove(id: HostId): void {
    this.targets.delete(id);
    this.calls.push(`remove ${id}`);
  }

  wake(id: HostId): void {
    this.calls.push(`wake ${id}`);
  }

  status(id: HostId): HostStatus | undefined {
    return this.targets.has(id) ? (this.statuses.get(id) ?? newStatus()) : undefined;
  }

  checkpoint(id: HostId): HostCheckpoint | undefined {
    const status = this.status(id);
    return status === undefined ? undefined : checkpointOf(id, status);
  }

  reported(): never {
    throw new Error("not asked for in these tests");
  }

  polled(): never {
    throw new Error("not asked for in these tests");
  }

  lastWord(): never {
    throw new Error("not asked for in these tests");
  }

  via(): undefined {
    return undefined;
  }

  render(): never {
    throw new Error("not asked for in these tests");
  }

  counts(): PushCounts {
    return new Tally().counts(this.queued, false);
  }

  start(): void {}

  async stop(): Promise<void> {}
}

export class SliceFixture {
  readonly store = new MemoryStore();
  readonly clock = new ManualClock();
  readonly pusher = new RecordingPusher();
  readonly hosts = new HostStore({
    store: this.store,
    partitionOf: (id) => partitionOf(id, partitionsCount),
  });
  readonly fleets = new FleetStore(this.store, createRandom("slice"));
  /** Views reported as loaded, as `version:hosts`. */
  readonly reports: string[] = [];
  /** What the table says the view is; the slice's own one unless set. */
  tableView: { readonly view: View | undefined } | undefined;
  /** Partitions written before they were let go. */
  readonly written: number[] = [];
  readonly slice: Slice;

  constructor(checkpoints?: Checkpoints) {
    this.slice = new Slice(
      {
        clock: this.clock,
        log: silentLogger,
        hosts: this.hosts,
        fleets: this.fleets,
        pusher: this.pusher,
        checkpoints: checkpoints ?? {
          read: async () => new Map(),
          write: async (partitions) => {
            this.written.push(...partitions);
          },
        },
        storedView: async () =>
          this.tableView === undefined ? this.slice.view : this.tableView.view,
        report: (view, _hash, hostsCount) => this.reports.push(`${view.version}:${hostsCount}`),
      },
      { partitionsCount, overlapMaxMs },
    );
  }

  partitionOf(id: string): number {
    return partitionOf(id, partitionsCount);
  }

  async put(id: string, address = `http://${id}:9000`, labels = {}): Promise<void> {
    await this.hosts.put(parseHostInput({ id, address, labels }));
  }

  /** Takes up a view of `slots` as slot `a`. */
  async adopt(version: number, ...slots: string[]): Promise<void> {
    const { signal } = new AbortController();
    await this.slice.adopt(snapshotOf(version, slots), () => false, signal);
  }

  targetIds(): string[] {
    return [...this.pusher.targets.keys()].toSorted();
  }
}

function memberOf(slot: string): ViewMember {
  return {
    slot,
    incarnation: 1,
    state: "active",
    weight: 1,
    zone: "",
    url: `http://${slot}:7400`,
    fleetUrl: `http://${slot}:7401`,
  };
}

/** What slot `a` sees; `seen` are the view versions that others report to have loaded. */
export function snapshotOf(
  version: number,
  slots: readonly string[],
  seen: Readonly<Record<string, number>> = {},
  isStoreReachable = true,
): MembershipSnapshot {
  const view: View = { generation: 1, version, members: slots.map(memberOf) };
  const members = new Map(
    Object.entries(seen).map(([slot, versionSeen]) => {
      const report: Partial<MemberReport> = {
        viewSeen: { generation: 1, version: versionSeen },
      };
      // The slice reads nothing else of a report.
      return [slot, report as MemberReport] as const;
    }),
  );
  return {
    view,
    members,
    silentSlots: new Set(),
    self: { slot: "a", incarnation: 1, status: "active" },
    isStoreReachable,
    isStoreBehind: false,
  };
}

export const hostId = parseHostId;
