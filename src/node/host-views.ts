/**
 * Hosts as people see them: pure functions from a record, its status and what it should hold to the
 * API's shapes and counts. Every host falls into exactly one class, so that the counts add up to the
 * inventory.
 */
import type { HostRecord } from "../inventory/host.ts";
import { matches, type Selector } from "../inventory/selector.ts";
import { formatFence, type Fence } from "../protocol/fence.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import type { Manifest } from "../protocol/manifest.ts";
import type { HostStatus } from "../push/host-status.ts";
import { configClassOf, syncClassOf, type SyncClass } from "../push/sync-class.ts";
import { fingerprint } from "./fingerprint.ts";
import type { Counts, HeldView, HostView, Problem } from "./peers.ts";

/** One host with everything the node that answers for it knows. */
export interface KnownHost {
  readonly record: HostRecord;
  readonly partition: number;
  readonly fence: Fence;
  readonly desired: Manifest;
  readonly status: HostStatus;
  /** How it was heard last, where its record gives a choice and this process heard it. */
  readonly via?: HostMode | undefined;
}

/** What a list is narrowed to; undefined narrows nothing. */
export interface HostFilter {
  readonly selector: Selector | undefined;
  readonly reachability: string | undefined;
  readonly sync: string | undefined;
}

export function passes(host: KnownHost, filter: HostFilter): boolean {
  return (
    (filter.selector === undefined || matches(filter.selector, host.record.labels)) &&
    (filter.reachability === undefined || host.status.reachability === filter.reachability) &&
    (filter.sync === undefined || syncClassOf(host.status, host.desired.digest) === filter.sync)
  );
}

/** The API's view; lists leave `configs` and `state` out. */
export function hostView(
  host: KnownHost,
  owner: string | undefined,
  isDetailed: boolean,
): HostView {
  const { record, status, desired } = host;
  const { held, lastError } = status;
  return {
    id: record.id,
    address: record.address,
    modes: record.modes,
    labels: record.labels,
    pins: record.pins,
    partition: host.partition,
    owner: owner ?? null,
    fence: formatFence(host.fence),
    desired: {
      manifest: desired.digest,
      ...(isDetailed ? { configs: desired.configs } : {}),
    },
    held:
      held === undefined
        ? null
        : { manifest: held.manifest, ...(isDetailed ? { configs: heldConfigs(status) } : {}) },
    sync: syncClassOf(status, desired.digest),
    reachability: status.reachability,
    lastContact: isoText(status.lastContactWallMs),
    via: host.via ?? onlyWay(host),
    lastError:
      lastError === undefined
        ? null
        : {
            class: lastError.class,
            message: lastError.message,
            at: new Date(lastError.wallMs).toISOString(),
          },
    nextAttempt: isoText(status.nextAttemptWallMs),
    ...(isDetailed ? { state: status.state ?? null } : {}),
  };
}

/** A host with one mode that was heard was heard in it, whoever heard it. */
function onlyWay({ record: { modes }, status }: KnownHost): HostMode | null {
  const [mode] = modes;
  return modes.length !== 1 || status.lastContactWallMs === undefined ? null : (mode ?? null);
}

function heldConfigs({ held }: HostStatus): HeldView[] {
  const problems = new Map(held?.problems.map((problem) => [problem.name, problem]));
  const fine = (held?.configs ?? [])
    .filter(({ name }) => !problems.has(name))
    .map(({ name, digest }) => ({ name, digest, result: "applied" }));
  const troubled = [...problems.values()].map(({ name, digest, result, message }) => ({
    name,
    result,
    ...(digest === undefined ? {} : { digest }),
    ...(message === undefined ? {} : { message }),
  }));
  return [...fine, ...troubled].toSorted((left, right) => (left.name < right.name ? -1 : 1));
}

function isoText(wallMs: number | undefined): string | null {
  return wallMs === undefined ? null : new Date(wallMs).toISOString();
}

/** Which hosts a rollout is about, and which config. */
export interface RolloutScope {
  readonly config: string;
  readonly selector: Selector;
}

const problemsMax = 20;
const hostsPerProblemMax = 5;

/** Counts hosts one at a time; partial tallies of several nodes add up with `merge`. */
export class Tally {
  readonly #counts: Record<keyof Counts, number> = {
    total: 0,
    applied: 0,
    pending: 0,
    rejected: 0,
    unreachable: 0,
    neverSeen: 0,
    damaged: 0,
  };
  readonly #problems = new Map<string, Problem>();

  add(host: KnownHost, scope: RolloutScope | undefined): void {
    if (scope !== undefined && !matches(scope.selector, host.record.labels)) return;
    const found = scope === undefined ? this.#classOf(host) : this.#configClassOf(host, scope);
    this.#counts.total += 1;
    this.#counts[found] += 1;
    const problem = found === "applied" ? undefined : problemOf(host, scope);
    if (problem !== undefined) this.#addProblem(problem);
  }

  /** A host of which nothing but its id can be read. */
  addDamaged(id: string, message: string, scope: RolloutScope | undefined): void {
    if (scope === undefined || scope.selector.length === 0) this.#counts.total += 1;
    this.#counts.damaged += 1;
    this.#addProblem({ class: "damaged", message, count: 1, hosts: [id] });
  }

  merge(counts: Counts, problems: readonly Problem[]): void {
    for (const name of Object.keys(this.#counts) as (keyof Counts)[]) {
      this.#counts[name] += counts[name];
    }
    for (const problem of problems) this.#addProblem(problem);
  }

  get counts(): Counts {
    return { ...this.#counts };
  }

  /** Most hosts first, `problemsMax` at most. */
  get problems(): readonly Problem[] {
    return [...this.#problems.values()]
      .toSorted(
        (left, right) => right.count - left.count || (left.message < right.message ? -1 : 1),
      )
      .slice(0, problemsMax);
  }

  #classOf({ status, desired }: KnownHost): SyncClass {
    return syncClassOf(status, desired.digest);
  }

  #configClassOf({ status, desired }: KnownHost, { config }: RolloutScope): SyncClass {
    const digest = desired.configs.find(({ name }) => name === config)?.digest;
    return configClassOf(status, desired.digest, config, digest);
  }

  #addProblem(problem: Problem): void {
    const key = `${problem.class} ${fingerprint(problem.message)}`;
    const known = this.#problems.get(key);
    if (known === undefined && this.#problems.size >= 10 * problemsMax) return;
    const hosts = [...(known?.hosts ?? []), ...problem.hosts].toSorted();
    this.#problems.set(key, {
      class: problem.class,
      message: smaller(known?.message, problem.message),
      count: (known?.count ?? 0) + problem.count,
      hosts: hosts.slice(0, hostsPerProblemMax),
    });
  }
}

/** One message stands for its like: always the same one, whoever answered first. */
function smaller(known: string | undefined, message: string): string {
  return known !== undefined && known < message ? known : message;
}

function problemOf(host: KnownHost, scope: RolloutScope | undefined): Problem | undefined {
  const { status, record } = host;
  const refused = status.held?.problems.find(
    ({ name, message }) => message !== undefined && (scope === undefined || name === scope.config),
  );
  const one = { count: 1, hosts: [record.id] };
  if (refused !== undefined) {
    return { class: refused.result, message: refused.message ?? "", ...one };
  }
  return status.lastError === undefined
    ? undefined
    : { class: status.lastError.class, message: status.lastError.message, ...one };
}
