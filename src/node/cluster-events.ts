/**
 * The events of the whole cluster, from any node: the own ones at once, the peers' within a second.
 *
 * Peers are asked only while somebody watches, and each is asked for what came after its last answer.
 * A change of the view is told once, by the first node that reports it.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { ViewMember } from "../ring/view.ts";
import type { EventLog, NodeEvent } from "./events.ts";
import type { Peers } from "./peers.ts";

const askEveryMs = 1_000;
const askTimeoutMs = 1_000;

export interface ClusterEventsPorts {
  readonly clock: Clock;
  readonly peers: Peers;
  readonly log: EventLog;
  readonly slot: string;
  readonly members: () => readonly ViewMember[];
}

export class ClusterEvents {
  readonly #ports: ClusterEventsPorts;

  constructor(ports: ClusterEventsPorts) {
    this.#ports = ports;
  }

  /** Calls `listener` with the recent events in order of time, then with new ones, until `signal`. */
  async follow(listener: (event: NodeEvent) => void, signal: AbortSignal): Promise<void> {
    const { clock, log } = this.#ports;
    const seenViews = new Set<string>();
    const tell = (event: NodeEvent) => {
      if (isNew(event, seenViews)) listener(event);
    };
    const readUpTo = new Map<string, number>();
    const early: NodeEvent[] = [];
    let isLive = false;
    const unsubscribe = log.subscribe((event) => (isLive ? tell(event) : early.push(event)));
    try {
      // Taken in the turn of the subscription: nothing is told twice and nothing is missed.
      const own = log.page(0).events;
      const others = await this.#askAll(readUpTo);
      for (const event of [...own, ...others, ...early].toSorted(byTime)) tell(event);
      isLive = true;
      while (!signal.aborted) {
        await clock.sleep(askEveryMs, signal);
        for (const event of await this.#askAll(readUpTo)) tell(event);
      }
    } catch (error) {
      // Aborting is how a reader goes away.
      if (!signal.aborted) throw error;
    } finally {
      unsubscribe();
    }
  }

  async #askAll(readUpTo: Map<string, number>): Promise<NodeEvent[]> {
    const { members, slot } = this.#ports;
    const others = members().filter((member) => member.slot !== slot);
    const pages = await Promise.all(others.map((member) => this.#ask(member, readUpTo)));
    return pages.flat().toSorted(byTime);
  }

  async #ask(member: ViewMember, readUpTo: Map<string, number>): Promise<readonly NodeEvent[]> {
    try {
      const after = readUpTo.get(member.slot) ?? 0;
      const { peers } = this.#ports;
      const page = await peers.call(member.fleetUrl, "events", { after }, askTimeoutMs);
      readUpTo.set(member.slot, page.last);
      return page.events;
    } catch (error) {
      // Its events come with a later answer, or died with it.
      if (isCoxswainError(error)) return [];
      throw error;
    }
  }
}

function byTime(left: NodeEvent, right: NodeEvent): number {
  return left.at < right.at ? -1 : left.at > right.at ? 1 : 0;
}

/** Every node reports a view; the first report is news. */
function isNew(event: NodeEvent, seenViews: Set<string>): boolean {
  if (event.type !== "view.changed") return true;
  const view = `${String(event["generation"])}.${String(event["version"])}`;
  if (seenViews.has(view)) return false;
  seenViews.add(view);
  return true;
}
