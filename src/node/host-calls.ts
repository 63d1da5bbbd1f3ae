/**
 * What agents and peers ask of this node about hosts. Nothing here decides: hosts are woken and
 * described, and whatever concerns another owner is passed on once.
 */
import { parseHostId, type HostId } from "../inventory/host.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import type { Hello } from "../protocol/sync.ts";
import type { Pusher } from "../push/pusher.ts";
import { answerCounts, answerHosts, takenAddresses } from "./answers.ts";
import type { EventLog } from "./events.ts";
import type { KnownHost } from "./host-views.ts";
import type { Hints } from "./hints.ts";
import type { PeerCalls, Peers } from "./peers.ts";
import { isShapeCall, type ShapeCalls } from "./shape-calls.ts";
import type { Shapes } from "./shapes.ts";
import type { Slice } from "./slice.ts";

const helloTimeoutMs = 2_000;

export interface HostCallsPorts {
  readonly slot: string;
  readonly slice: Slice;
  readonly pusher: Pusher;
  readonly hints: Hints;
  readonly peers: Peers;
  readonly events: EventLog;
  readonly shapes: Shapes;
  readonly partitionOf: (id: HostId) => number;
  readonly wakeMembership: () => void;
}

export class HostCalls {
  readonly #ports: HostCallsPorts;

  constructor(ports: HostCallsPorts) {
    this.#ports = ports;
  }

  /** A host showed life: its owner syncs it at once. */
  async hello(hello: Hello): Promise<"woken" | "forwarded" | "unknownHost" | "noOwner"> {
    const { slice, pusher, partitionOf } = this.#ports;
    const id = parseHostId(hello.host);
    const partition = partitionOf(id);
    if (slice.isServed(partition)) {
      if (slice.record(partition, id) === undefined) return "unknownHost";
      pusher.wake(id);
      return "woken";
    }
    return (await this.wake(id, partition)) ? "forwarded" : "noOwner";
  }

  /** Answers one call of a peer. */
  async answerPeer<Name extends keyof PeerCalls>(
    name: Name,
    ask: PeerCalls[Name]["ask"],
  ): Promise<PeerCalls[keyof PeerCalls]["answer"]> {
    const { slice, pusher, hints, events, partitionOf, wakeMembership, shapes } = this.#ports;
    if (isShapeCall(name)) return shapes.answerPeer(name, ask as ShapeCalls[typeof name]["ask"]);
    type Own = Exclude<keyof PeerCalls, keyof ShapeCalls>;
    const call = { name, ask } as {
      [Each in Own]: { name: Each; ask: PeerCalls[Each]["ask"] };
    }[Own];
    const local = (partition: number) => this.known(partition);
    switch (call.name) {
      case "hint":
        if (call.ask.view === true) wakeMembership();
        await hints.take(call.ask);
        return {};
      case "hello": {
        const id = parseHostId(call.ask.host);
        const isServed = slice.record(partitionOf(id), id) !== undefined;
        if (isServed) pusher.wake(id);
        return { isServed };
      }
      case "hosts":
        return answerHosts(call.ask, local, (partition) => slice.placement.ownerOf(partition));
      case "counts":
        return answerCounts(call.ask, local, (partition) => slice.damagedIn(partition));
      case "events":
        return events.page(call.ask.after);
      case "addresses":
        return {
          taken: takenAddresses(call.ask.hosts, slice.servedPartitions(), (partition) =>
            slice.hostsOf(partition),
          ),
        };
    }
  }

  /** The hosts of a served partition; undefined where another node serves it. */
  known(partition: number): Iterable<KnownHost> | undefined {
    return this.#ports.slice.isServed(partition) ? this.#knownHosts(partition) : undefined;
  }

  /** Wakes the host at its owner; false where no owner answers. */
  async wake(id: string, partition: number): Promise<boolean> {
    const { slice, pusher, peers, slot } = this.#ports;
    const hostId = parseHostId(id);
    if (slice.record(partition, hostId) !== undefined) {
      pusher.wake(hostId);
      return true;
    }
    const owner = slice.placement.ownerOf(partition);
    const member = slice.view.members.find((candidate) => candidate.slot === owner);
    if (member === undefined || owner === slot) return false;
    try {
      const answer = await peers.call(member.fleetUrl, "hello", { host: id }, helloTimeoutMs);
      return answer.isServed;
    } catch (error) {
      // The agent says hello again; the sweep finds it anyway.
      if (isCoxswainError(error)) return false;
      throw error;
    }
  }

  *#knownHosts(partition: number): Iterable<KnownHost> {
    const { slice, pusher } = this.#ports;
    for (const record of slice.hostsOf(partition)) {
      const status = pusher.status(record.id);
      if (status === undefined) continue;
      const fence = slice.fenceOf(record);
      const desired = slice.desiredOf(record);
      yield { record, partition, fence, desired, status, via: pusher.via(record.id) };
    }
  }
}
