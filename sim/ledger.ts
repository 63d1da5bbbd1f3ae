/**
 * What clients were told: for each host the states it may be in, for each rollout whether it counts.
 *
 * An acknowledged change leaves exactly its result; one without an answer leaves both the old and the
 * new state possible, and may land until the host is written again: what was `unchanged` ends nothing. Changes of one host go one after another, so that any state outside the set is a
 * lost or an invented write.
 */
import type { HostRecord } from "../src/inventory/host.ts";
import type { Fleet } from "../src/inventory/rules.ts";

export interface HostState {
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly pins: Readonly<Record<string, string>>;
}

/** `undefined` is a host that is not registered. */
export type HostEffect = (state: HostState | undefined) => HostState | undefined;

/** `unchanged`: the host was as asked and was not written. */
export type Told = "acknowledged" | "unchanged" | "unknown" | "refused";

interface LedgerRollout {
  readonly id: string;
  readonly config: string;
  readonly at: number;
}

const absent = "absent";

export class Ledger {
  readonly #hosts = new Map<string, Set<string>>();
  /** Registrations without an answer may land at any later time: nothing binds them to a revision. */
  readonly #openCreations = new Map<string, Set<string>>();
  /** Every state that some change asked for. */
  readonly #asked = new Map<string, Set<string>>();
  readonly #rollouts: LedgerRollout[] = [];
  /** Config -> numbers of the changes that may count, ascending. */
  readonly #attemptsOf = new Map<string, number[]>();
  #attempts = 0;
  acknowledgedCount = 0;

  hostChanged(id: string, effect: HostEffect, told: Told): void {
    if (told === "refused") return;
    const before = this.#hosts.get(id) ?? new Set([absent]);
    const after = new Set([...before].map((text) => textOf(effect(stateOf(text)))));
    this.#asked.set(id, (this.#asked.get(id) ?? new Set()).union(after));
    if (told === "acknowledged") {
      this.acknowledgedCount++;
      this.#hosts.set(id, after);
      return;
    }
    if (told === "unknown" && before.has(absent)) {
      const open = this.#openCreations.get(id) ?? new Set();
      this.#openCreations.set(id, open.add(textOf(effect(undefined))));
    }
    this.#hosts.set(id, new Set([...before, ...after]));
  }

  /** A change of the rules begins; its number is what the other two calls ask for. */
  rolloutAttempted(config: string): number {
    const at = ++this.#attempts;
    this.#attemptsOf.set(config, [...(this.#attemptsOf.get(config) ?? []), at]);
    return at;
  }

  rolloutRefused(config: string, at: number): void {
    const others = (this.#attemptsOf.get(config) ?? []).filter((attempt) => attempt !== at);
    this.#attemptsOf.set(config, others);
  }

  rolloutAcknowledged(id: string, config: string, at: number): void {
    this.acknowledgedCount++;
    this.#rollouts.push({ id, config, at });
  }

  /**
   * What the store lacks or has too much, in words; undefined where it agrees. A registration that was
   * repeated may land a second time, after the host was removed: `late` names such hosts.
   */
  disagreement(
    records: readonly HostRecord[],
    fleet: Fleet,
    late: ReadonlySet<string>,
  ): string | undefined {
    const stored = new Map<string, string>(
      records.map(({ id, address, labels, pins }) => [id, textOf({ address, labels, pins })]),
    );
    for (const id of new Set([...this.#hosts.keys(), ...stored.keys()])) {
      const found = stored.get(id) ?? absent;
      const possible = this.#hosts.get(id) ?? new Set([absent]);
      const open = possible.has(absent) ? this.#openCreations.get(id) : undefined;
      if (possible.has(found) || open?.has(found) === true) continue;
      if (possible.has(absent) && late.has(id) && this.#asked.get(id)?.has(found) === true)
        continue;
      return `host ${id} is stored as ${found}; clients were told ${[...possible].join(" or ")}`;
    }
    const inForce = new Set(fleet.rules.map(({ rollout }) => rollout));
    for (const { id, config, at } of this.#rollouts) {
      const isLast = this.#attemptsOf.get(config)?.at(-1) === at;
      if (isLast && !inForce.has(id)) return `the acknowledged rollout ${id} is in no rule`;
    }
    return undefined;
  }
}

function textOf(state: HostState | undefined): string {
  if (state === undefined) return absent;
  return JSON.stringify([state.address, sorted(state.labels), sorted(state.pins)]);
}

function sorted(map: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(map).toSorted(([left], [right]) => (left < right ? -1 : 1));
}

function stateOf(text: string): HostState | undefined {
  if (text === absent) return undefined;
  const [address, labels, pins] = JSON.parse(text) as [
    string,
    [string, string][],
    [string, string][],
  ];
  return { address, labels: Object.fromEntries(labels), pins: Object.fromEntries(pins) };
}
