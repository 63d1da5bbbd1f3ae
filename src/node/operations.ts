/**
 * What people and programs can do to the cluster, free of HTTP: any node does any of it.
 *
 * A change is one conditional write; then the owners of what changed are told (a hint) and asked to
 * read it again before the answer goes out, so that whoever changed something sees it in the next list.
 * That wait is bounded, and so are the counts in the answer: a peer that hangs makes them incomplete, never late.
 */
import type { AuditEntry } from "../inventory/audit.ts";
import { parseHostId, parseHostInput, type HostRecord } from "../inventory/host.ts";
import type { OnExisting, PutOutcome } from "../inventory/hosts.ts";
import type { Inventory } from "../inventory/inventory.ts";
import type { Rollout } from "../inventory/rollout-codec.ts";
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import type { Meta } from "../store/meta.ts";
import type { EvictOutcome } from "../membership/eviction-command.ts";
import type { ViewNumber } from "../membership/member.ts";
import type { MembershipSnapshot } from "../membership/snapshot.ts";
import { brief, patient, type Directory, type Patience } from "./directory.ts";
import type { EventLog } from "./events.ts";
import { importLines, type ImportReport } from "./import-lines.ts";
import { membersOfView, waitingViews, type MemberView } from "./members-view.ts";
import type { Counts, Hint, HostsQuery, HostView, Problem } from "./peers.ts";
import type { Slice } from "./slice.ts";

export interface OperationsPorts {
  readonly clock: Clock;
  readonly meta: Meta;
  readonly inventory: Inventory;
  readonly slice: Slice;
  readonly directory: Directory;
  readonly events: EventLog;
  readonly snapshot: () => MembershipSnapshot;
  readonly slot: string;
  readonly version: string;
  /** Tells the owners (this node among them) and waits a moment for them to have read it. */
  readonly hint: (hint: Hint) => Promise<void>;
  /** Wakes the host at its owner; false where no owner answers. */
  readonly wake: (id: string, partition: number) => Promise<boolean>;
  /** Takes a slot out of the view. */
  readonly evict: (slot: string) => Promise<EvictOutcome>;
  readonly audit: (entry: AuditEntry) => void;
}

/** A rollout as the API shows it. */
export interface RolloutView {
  readonly id: string;
  readonly config: string;
  readonly digest: string | null;
  readonly selector: string;
  /** `active`: in effect, and in a list, which does not count how far it is. */
  readonly state: "active" | "running" | "complete" | "superseded" | "undone";
  readonly author: string;
  readonly at: string;
  readonly undoes?: string;
  readonly counts?: Counts;
  readonly problems?: readonly Problem[];
  readonly missing?: readonly string[];
}

export class Operations {
  readonly #ports: OperationsPorts;

  constructor(ports: OperationsPorts) {
    this.#ports = ports;
  }

  /** Throws HOST_INVALID, HOST_ADDRESS_TAKEN, PARTITION_FULL and the store's errors. */
  async putHost(
    id: string,
    body: unknown,
    actor: string,
  ): Promise<HostRecord & { partition: number; outcome: PutOutcome }> {
    this.#requireTable();
    const input = parseHostInput(body, parseHostId(id));
    const [taken] = await this.#ports.directory.takenAddresses([input], brief.askMs);
    if (taken !== undefined) {
      throw new CoxswainError(
        "HOST_ADDRESS_TAKEN",
        `Expected \`address\` to be no other host's, got ${taken.address} of ${taken.by}`,
        { details: { address: taken.address, by: taken.by } },
      );
    }
    const { record, outcome } = await this.#ports.inventory.hosts.put(input);
    await this.#hostChanged(record.id);
    this.#audit(actor, "host.put", id, { address: input.address, outcome });
    return { ...record, partition: this.#ports.inventory.hosts.partitionOf(record.id), outcome };
  }

  /** One JSON object a line; a line that fails is in the report, never an exception. */
  async importHosts(
    body: Uint8Array,
    options: { readonly onExisting: OnExisting; readonly dryRun: boolean },
    actor: string,
  ): Promise<ImportReport> {
    this.#requireTable();
    const { directory, inventory } = this.#ports;
    const { hosts } = inventory;
    const report = await importLines(body, hosts, directory, options);
    if (!options.dryRun && report.changed.length > 0) {
      const partitions = new Set(report.changed.map((id) => hosts.partitionOf(parseHostId(id))));
      await this.#ports.hint({ partitions: [...partitions] });
      this.#audit(actor, "host.import", `${report.changed.length} hosts`, report.report);
    }
    return report.report;
  }

  async listHosts(query: {
    readonly selector?: string;
    readonly reachability?: string;
    readonly sync?: string;
    readonly limit: number;
    readonly cursor?: string;
  }): Promise<{ hosts: HostView[]; next: string | null; missing: string[] }> {
    const { limit, cursor, ...filter } = query;
    const ask: Omit<HostsQuery, "partitions"> = {
      ...filter,
      ...(cursor === undefined ? {} : { after: cursor }),
      // One more than asked for tells whether there is a next page.
      limit: limit + 1,
      isDetailed: false,
    };
    const { hosts, missing } = await this.#ports.directory.hosts(ask);
    const page = hosts.slice(0, limit);
    return { hosts: page, next: hosts.length > limit ? (page.at(-1)?.id ?? null) : null, missing };
  }

  /** Throws HOST_NOT_FOUND. */
  async getHost(id: string): Promise<HostView> {
    const hostId = parseHostId(id);
    const partition = this.#ports.inventory.hosts.partitionOf(hostId);
    const view = await this.#ports.directory.host(hostId, partition);
    if (view === undefined) {
      throw new CoxswainError("HOST_NOT_FOUND", `Expected a registered host, got ${id}`, {
        details: { id },
      });
    }
    return view;
  }

  async deleteHost(id: string, actor: string): Promise<void> {
    this.#requireTable();
    const hostId = parseHostId(id);
    await this.#ports.inventory.hosts.delete(hostId);
    await this.#hostChanged(hostId);
    this.#audit(actor, "host.delete", id, {});
  }

  /** Undefined takes the pin away. Throws HOST_NOT_FOUND, RELEASE_NOT_FOUND, HOST_INVALID. */
  async pinHost(
    id: string,
    config: string,
    digest: string | undefined,
    actor: string,
  ): Promise<HostRecord> {
    this.#requireTable();
    const hostId = parseHostId(id);
    const record = await this.#ports.inventory.pinHost(hostId, config, digest);
    await this.#hostChanged(hostId);
    const action = digest === undefined ? "host.unpin" : "host.pin";
    this.#audit(actor, action, id, { config, digest: digest ?? null });
    return record;
  }

  /** Asks the owner to sync the host now. Throws HOST_NOT_FOUND, MEMBER_UNREACHABLE. */
  async syncHost(id: string): Promise<void> {
    const view = await this.getHost(id);
    if (!(await this.#ports.wake(view.id, view.partition))) {
      throw new CoxswainError(
        "MEMBER_UNREACHABLE",
        `The owner of ${id} (${view.owner ?? "none"}) did not take the request`,
      );
    }
  }

  async listConfigs(): Promise<{ configs: object[] }> {
    const summaries = await this.#ports.inventory.releases.listConfigs();
    const configs = summaries.map(({ name, releaseCount, latest }) => ({
      name,
      releases: releaseCount,
      latest:
        latest === undefined
          ? null
          : { digest: latest.digest, size: latest.size, at: latest.at, author: latest.author },
    }));
    return { configs };
  }

  async putRelease(
    name: string,
    content: Uint8Array,
    actor: string,
  ): Promise<{ name: string; digest: string; size: number; isNew: boolean }> {
    const by = { author: actor, atIso: this.#at() };
    const { digest, size, isNew } = await this.#ports.inventory.releases.put(name, content, by);
    if (isNew) {
      this.#ports.events.emit("config.released", { config: name, digest, size });
      this.#audit(actor, "config.put", name, { digest, size });
    }
    return { name, digest, size, isNew };
  }

  async listReleases(name: string): Promise<{ releases: object[] }> {
    const releases = await this.#ports.inventory.releases.list(name);
    return {
      releases: releases.map(({ digest, size, author, at }) => ({
        name,
        digest,
        size,
        author,
        at,
      })),
    };
  }

  async readRelease(name: string, digest: string): Promise<Uint8Array> {
    await this.#ports.inventory.releases.require(name, digest);
    return this.#ports.inventory.releases.readContent(digest);
  }

  async startRollout(
    body: { readonly config: string; readonly digest: string | null; readonly selector?: string },
    actor: string,
  ): Promise<RolloutView> {
    this.#requireTable();
    const { config, digest, selector = "" } = body;
    const rollout = await this.#ports.inventory.rollouts.start(
      { config, digest, selector, author: actor, at: this.#at() },
      () => this.#ports.hint({ fleet: "change" }),
    );
    this.#ports.events.emit("rollout.started", {
      id: rollout.id,
      config,
      digest,
      selector: rollout.selector,
    });
    this.#audit(actor, "rollout.start", rollout.id, { config, digest, selector: rollout.selector });
    return this.#counted(rollout, brief);
  }

  async undoRollout(id: string, actor: string): Promise<RolloutView> {
    this.#requireTable();
    const rollout = await this.#ports.inventory.rollouts.undo(
      id,
      { author: actor, at: this.#at() },
      () => this.#ports.hint({ fleet: "rollback" }),
    );
    this.#ports.events.emit("rollout.started", {
      id: rollout.id,
      config: rollout.config,
      digest: rollout.digest ?? null,
      selector: rollout.selector,
      undoes: id,
    });
    this.#audit(actor, "rollout.undo", rollout.id, { undoes: id });
    return this.#counted(rollout, brief);
  }

  async listRollouts(limit: number): Promise<{ rollouts: RolloutView[] }> {
    const rollouts = await this.#ports.inventory.rollouts.list(limit);
    return { rollouts: rollouts.map((rollout) => rolloutView(rollout, "active")) };
  }

  /** Throws ROLLOUT_NOT_FOUND. */
  async getRollout(id: string): Promise<RolloutView> {
    const rollout = await this.#ports.inventory.rollouts.get(id);
    if (rollout === undefined) {
      throw new CoxswainError("ROLLOUT_NOT_FOUND", `Expected a rollout, got ${id}`, {
        details: { id },
      });
    }
    return this.#counted(rollout, patient);
  }

  async status(): Promise<object> {
    const { meta, slot, version } = this.#ports;
    const { counts, problems, missing } = await this.#ports.directory.counts();
    const { view, members } = this.#members();
    return {
      cluster: { id: meta.clusterId, partitions: meta.partitions, version },
      node: { slot },
      view: {
        ...view,
        members: members.map(({ slot: name, incarnation, state, url, partitions, hosts }) => ({
          slot: name,
          incarnation,
          state,
          url,
          partitions,
          hosts,
        })),
      },
      hosts: counts,
      problems,
      missing,
    };
  }

  members(): { view: ViewNumber; members: MemberView[] } {
    const { view, members } = this.#members();
    return { view, members: [...members, ...waitingViews(this.#ports.snapshot())] };
  }

  /** Throws MEMBER_NOT_FOUND, MEMBER_LAST, STORE_CONTENDED and the store's errors. */
  async evictMember(slot: string, actor: string): Promise<object> {
    this.#requireTable();
    const outcome = await this.#ports.evict(slot);
    const details = { slot };
    switch (outcome.kind) {
      case "evicted":
        this.#audit(actor, "member.evict", slot, outcome.view);
        return { slot, view: outcome.view };
      case "unknownSlot":
        throw new CoxswainError("MEMBER_NOT_FOUND", `Expected a slot of the view, got ${slot}`, {
          details,
        });
      case "lastMember":
        throw new CoxswainError(
          "MEMBER_LAST",
          `Expected another living member beside ${slot}, got none`,
          { details },
        );
      case "unfinished":
        throw new CoxswainError(
          "STORE_CONTENDED",
          `Expected the view to change in time, got none without ${slot}`,
          { details },
        );
    }
  }

  placement(host: string | undefined): object {
    const { placement, view, partitionsCount } = this.#ports.slice;
    const common = {
      view: { generation: view.generation, version: view.version },
      placementHash: placement.hash,
    };
    if (host !== undefined) {
      const partition = this.#ports.inventory.hosts.partitionOf(parseHostId(host));
      return { host, partition, owner: placement.ownerOf(partition) ?? null, ...common };
    }
    const slots = placement.slots.map((slot) => ({ slot, partitions: placement.countOf(slot) }));
    return { partitions: partitionsCount, slots, ...common };
  }

  async #counted(rollout: Rollout, patience: Patience): Promise<RolloutView> {
    const { directory } = this.#ports;
    const { config, selector } = rollout;
    const { counts, problems, missing } = await directory.counts({ config, selector }, patience);
    const isComplete = counts.applied === counts.total && missing.length === 0;
    const view = rolloutView(rollout, isComplete ? "complete" : "running");
    return { ...view, counts, problems, missing };
  }

  /** A change of a table that lost items would be lost, or take away what is written back. */
  #requireTable(): void {
    if (!this.#ports.snapshot().isStoreBehind) return;
    throw new CoxswainError(
      "STORE_WENT_BACK",
      "Expected the table to have the view of this cluster, got an older one or none",
    );
  }

  #members() {
    return membersOfView(this.#ports.snapshot(), this.#ports.slice.placement);
  }

  #hostChanged(id: HostRecord["id"]): Promise<void> {
    return this.#ports.hint({ partitions: [this.#ports.inventory.hosts.partitionOf(id)] });
  }

  #at(): string {
    return new Date(this.#ports.clock.wallMs()).toISOString();
  }

  #audit(actor: string, action: string, target: string, details: object): void {
    this.#ports.audit({ at: this.#at(), actor, action, target, details: { ...details } });
  }
}

function rolloutView(
  rollout: Rollout,
  whileActive: "active" | "running" | "complete",
): RolloutView {
  return {
    id: rollout.id,
    config: rollout.config,
    digest: rollout.digest ?? null,
    selector: rollout.selector,
    state: rollout.state === "active" ? whileActive : rollout.state,
    author: rollout.author,
    at: rollout.at,
    ...(rollout.undoes === undefined ? {} : { undoes: rollout.undoes }),
  };
}
