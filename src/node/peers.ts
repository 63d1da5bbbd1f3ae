/**
 * Calls between nodes: hints, hellos passed on, and questions about the hosts a peer serves.
 *
 * A peer's answer is never trusted with a decision about hosts: hints only wake (the receiver reads
 * the store itself), and answers to questions are shown to people. So a lost, late or repeated call
 * costs freshness, not correctness.
 */
import { Agent, request } from "undici";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import type { EventPage } from "./events.ts";
import { parsePeerAnswer } from "./peer-shapes.ts";
import type { ShapeCalls } from "./shape-calls.ts";

/** What a node can ask of a peer, with the body it sends and the answer it gets. */
export interface PeerCalls extends ShapeCalls {
  /** Something changed: read these again. Answered once they have been read. */
  hint: { ask: Hint; answer: Record<string, never> };
  /** A sign of life of a host that the peer owns. */
  hello: { ask: { host: string }; answer: { isServed: boolean } };
  hosts: { ask: HostsQuery; answer: HostsAnswer };
  counts: { ask: CountsQuery; answer: CountsAnswer };
  /** What the peer has seen since its first `after` events. */
  events: { ask: { after: number }; answer: EventPage };
  addresses: { ask: { hosts: readonly HostAddress[] }; answer: { taken: readonly TakenAddress[] } };
}

export interface Hint {
  readonly view?: boolean;
  /** The rules changed; a rollback goes ahead of other changes. */
  readonly fleet?: "change" | "rollback";
  readonly partitions?: readonly number[];
}

export interface HostAddress {
  readonly id: string;
  readonly address: string;
}

export interface TakenAddress extends HostAddress {
  /** The host that has the address already. */
  readonly by: string;
}

/** Questions name partitions, so that every partition is answered for exactly once. */
export interface HostsQuery {
  readonly partitions: readonly number[];
  readonly ids?: readonly string[];
  readonly selector?: string;
  readonly reachability?: string;
  readonly sync?: string;
  /** Only ids above this one. */
  readonly after?: string;
  readonly limit: number;
  readonly isDetailed: boolean;
}

export interface HostsAnswer {
  /** Ascending by id, `limit` at most. */
  readonly hosts: readonly HostView[];
  /** Asked for, but not served here (any more, or not yet). */
  readonly unserved: readonly number[];
}

export interface CountsQuery {
  readonly partitions: readonly number[];
  /** Count one config on the hosts of a selector instead of whole manifests. */
  readonly rollout?: { readonly config: string; readonly selector: string };
}

export interface CountsAnswer {
  readonly counts: Counts;
  readonly problems: readonly Problem[];
  readonly unserved: readonly number[];
}

export interface Counts {
  readonly total: number;
  readonly applied: number;
  readonly pending: number;
  readonly rejected: number;
  readonly unreachable: number;
  readonly neverSeen: number;
  /**
   * Registered hosts whose record cannot be read and is not known from before: nobody pushes to them. They are in
   * `total` unless a selector narrows it, because nobody knows their labels.
   */
  readonly damaged: number;
}

/** Hosts that have the same trouble, by class and message. */
export interface Problem {
  readonly class: string;
  readonly message: string;
  readonly count: number;
  /** Some of them, ascending. */
  readonly hosts: readonly string[];
}

export interface HeldView {
  readonly name: string;
  readonly digest?: string;
  readonly result: string;
  readonly message?: string;
}

/** One host as the API shows it. Times are ISO text. */
export interface HostView {
  readonly id: string;
  /** Empty where no mode of the host needs one. */
  readonly address: string;
  /** Best first. */
  readonly modes: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly pins: Readonly<Record<string, string>>;
  readonly partition: number;
  readonly owner: string | null;
  readonly fence: string;
  readonly desired: {
    readonly manifest: string;
    readonly configs?: readonly { readonly name: string; readonly digest: string }[];
  };
  readonly held: { readonly manifest: string; readonly configs?: readonly HeldView[] } | null;
  readonly sync: keyof Omit<Counts, "total" | "damaged">;
  readonly reachability: string;
  readonly lastContact: string | null;
  /** The mode in which it was last reached or heard; null: not known to the node that answers. */
  readonly via: string | null;
  readonly lastError: {
    readonly class: string;
    readonly message: string;
    readonly at: string;
  } | null;
  readonly nextAttempt: string | null;
  readonly state?: Readonly<Record<string, unknown>> | null;
}

/** Sends one call to the node at `fleetUrl`; throws MEMBER_UNREACHABLE when no good answer came. */
export interface Peers {
  call<Name extends keyof PeerCalls>(
    fleetUrl: string,
    name: Name,
    ask: PeerCalls[Name]["ask"],
    timeoutMs: number,
  ): Promise<PeerCalls[Name]["answer"]>;
  /**
   * Whether a member lives at `fleetUrl`: the second witness of a silent one. `refused`: nothing listens
   * there, or a process that has not joined yet, such as the successor that asks.
   */
  probe(fleetUrl: string, timeoutMs: number): Promise<"answered" | "refused" | "unknown">;
  close(): Promise<void>;
}

/** Answers 204 where a member lives, and `noMemberStatus` where a process that has not joined does. */
export const memberPath = "/coxswain/v1/peer/member";
export const noMemberStatus = 503;

export const peerPath = (name: string): string => `/coxswain/v1/peer/${name}`;

/** An address that swallows everything must not hold up calls after its node is back. */
const connectTimeoutMs = 1_000;

/** A relayed sync takes as long as the host does: slow hosts must not hold up the others, nor other calls. */
const relaysAtOnceMax = 256;

/** Peers over HTTP, at most 4 connections each, and more for relayed syncs. */
export function createHttpPeers(cluster: string): Peers {
  const connect = {
    pipelining: 1,
    connect: { timeout: connectTimeoutMs },
    keepAliveTimeout: 30_000,
    maxResponseSize: 16 * 1024 * 1024,
  };
  const dispatcher = new Agent({ ...connect, connections: 4 });
  const relays = new Agent({ ...connect, connections: relaysAtOnceMax });
  return {
    async call(fleetUrl, name, ask, timeoutMs) {
      const unreachable = (message: string, cause?: unknown) =>
        new CoxswainError(
          "MEMBER_UNREACHABLE",
          `No answer from ${fleetUrl} to ${name}: ${message}`,
          {
            cause,
          },
        );
      try {
        const reply = await request(fleetUrl + peerPath(name), {
          dispatcher: name === "relay" ? relays : dispatcher,
          method: "POST",
          headers: { "content-type": "application/json", "coxswain-cluster": cluster },
          body: JSON.stringify(ask),
          signal: AbortSignal.timeout(timeoutMs),
        });
        if (reply.statusCode !== 200) {
          await reply.body.dump();
          throw unreachable(`status ${reply.statusCode}`);
        }
        const parsed = parsePeerAnswer(name, await reply.body.json());
        if ("wrong" in parsed) throw unreachable(`Expected ${parsed.wrong}`);
        return parsed.answer;
      } catch (error) {
        throw error instanceof CoxswainError ? error : unreachable(messageOf(error), error);
      }
    },
    async probe(fleetUrl, timeoutMs) {
      try {
        const reply = await request(fleetUrl + memberPath, {
          dispatcher,
          signal: AbortSignal.timeout(timeoutMs),
        });
        await reply.body.dump();
        return reply.statusCode === noMemberStatus ? "refused" : "answered";
      } catch (error) {
        // Only a refusal proves that no process listens; silence may be the network's or our own.
        return isRefusal(error) ? "refused" : "unknown";
      }
    },
    close: async () => {
      await Promise.all([dispatcher.destroy(), relays.destroy()]);
    },
  };
}

function isRefusal(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ECONNREFUSED";
}
