/**
 * The push queue: one slot per host, five lanes, two pools.
 *
 * A slot is idle, waiting for a time, ready in a lane, or in flight; never two in flight for one
 * host. A change while in flight is remembered and queued on completion. Merging raises the lane,
 * never lowers it, and a slot keeps its place unless it is raised. The queue cannot grow beyond one
 * entry a host. Suspects have lists of their own, so that a full suspects' pool never has to be
 * searched past. Times are kept in whole milliseconds: other numbers are objects of their own, one for
 * every host. Source: the push queue of Istio's pilot.
 */
import { DueHeap, type Due } from "./due-heap.ts";
import { LinkedList, type Linked } from "./linked-list.ts";

/** Strongest first. `record` is a change of one host alone, which must not wait for the rest of a rollout. */
export const lanes = ["rollback", "record", "change", "sweep", "retry"] as const;
export type Lane = (typeof lanes)[number];

/** Hosts that fail have places in flight of their own. */
export const pools = ["steady", "suspect"] as const;
export type Pool = (typeof pools)[number];

/** One host's place in the queue, extended by what is queued (`Self`). Only PushQueue writes these fields. */
export class QueueSlot<Self> implements Linked<Self>, Due {
  previous: Self | undefined = undefined;
  next: Self | undefined = undefined;
  list: object | undefined = undefined;
  /** When it is, or was, ready in its lane. */
  dueMs = 0;
  sequence = 0;
  heapIndex = -1;
  isInFlight = false;
  /** Lane it is ready in, waits for, was taken from, or (in flight) will be queued in. */
  lane: Lane = "retry";
  pool: Pool = "steady";
  /** In flight, and to be queued again on completion. */
  isWanted = false;
}

export class PushQueue<Slot extends QueueSlot<Slot>> {
  readonly #ready: Readonly<Record<Lane, Readonly<Record<Pool, LinkedList<Slot>>>>>;
  readonly #waiting = new DueHeap<Slot>();

  constructor() {
    this.#ready = {
      rollback: perPool(),
      record: perPool(),
      change: perPool(),
      sweep: perPool(),
      retry: perPool(),
    };
  }

  /** Ready at once, in `lane` or a stronger one that it has already; in flight: after completion. */
  add(slot: Slot, lane: Lane, pool: Pool, atMs: number): void {
    if (slot.isInFlight) {
      slot.lane = slot.isWanted ? stronger(slot.lane, lane) : lane;
      slot.pool = pool;
      slot.isWanted = true;
      return;
    }
    if (slot.list !== undefined) {
      const merged = stronger(slot.lane, lane);
      if (merged === slot.lane && pool === slot.pool) return;
      this.#ready[slot.lane][slot.pool].remove(slot);
      slot.lane = merged;
    } else {
      this.#waiting.remove(slot);
      slot.lane = lane;
    }
    slot.pool = pool;
    slot.dueMs = Math.floor(atMs);
    this.#ready[slot.lane][pool].append(slot);
  }

  /** Ready at `dueMs`; replaces an earlier wait; nothing happens where it is ready or in flight. */
  wait(slot: Slot, lane: Lane, pool: Pool, dueMs: number): void {
    if (slot.isInFlight || slot.list !== undefined) return;
    slot.lane = lane;
    slot.pool = pool;
    // Rounded up: nothing is sent before its time.
    this.#waiting.put(slot, Math.ceil(dueMs));
  }

  /** Moves up to `countMax` slots whose time has come to their lanes; true where more are due. */
  release(atMs: number, countMax: number): boolean {
    for (let count = 0; count < countMax; count++) {
      const slot = this.#waiting.first;
      if (slot === undefined || slot.dueMs > atMs) return false;
      this.add(slot, slot.lane, slot.pool, atMs);
    }
    const next = this.#waiting.first;
    return next !== undefined && next.dueMs <= atMs;
  }

  /** The longest ready slot of a lane and pool, now in flight. */
  take(lane: Lane, pool: Pool): Slot | undefined {
    const list = this.#ready[lane][pool];
    const slot = list.first;
    if (slot === undefined) return undefined;
    list.remove(slot);
    slot.isInFlight = true;
    slot.isWanted = false;
    return slot;
  }

  /** The flight ended; true where the slot was wanted meanwhile and is ready again. */
  complete(slot: Slot, pool: Pool, atMs: number): boolean {
    slot.isInFlight = false;
    if (!slot.isWanted) return false;
    slot.isWanted = false;
    this.add(slot, slot.lane, pool, atMs);
    return true;
  }

  /** Takes the slot out of lanes and waits; one in flight stays so until `complete`. */
  remove(slot: Slot): void {
    slot.isWanted = false;
    if (slot.list !== undefined) this.#ready[slot.lane][slot.pool].remove(slot);
    this.#waiting.remove(slot);
  }

  isReady(slot: Slot): boolean {
    return slot.list !== undefined;
  }

  length(lane: Lane, pool: Pool): number {
    return this.#ready[lane][pool].length;
  }

  /** Slots that are ready, in all lanes. */
  get readyCount(): number {
    let count = 0;
    for (const lane of lanes) for (const pool of pools) count += this.length(lane, pool);
    return count;
  }

  /** When the first waiting slot becomes ready. */
  get nextDueMs(): number | undefined {
    return this.#waiting.first?.dueMs;
  }
}

function stronger(left: Lane, right: Lane): Lane {
  return lanes.indexOf(left) <= lanes.indexOf(right) ? left : right;
}

function perPool<Slot extends QueueSlot<Slot>>(): Record<Pool, LinkedList<Slot>> {
  return { steady: new LinkedList(), suspect: new LinkedList() };
}
