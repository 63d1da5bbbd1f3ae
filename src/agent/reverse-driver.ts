/**
 * The agent's part in reverse mode: it keeps one connection open to some node, which syncs it over it.
 *
 * Any node will do. A busy one is left alone for as long as it says, one that does not answer for longer
 * each time, and the next is asked: a dead node never keeps a host from one that will have room. What is lost
 * is retried elsewhere, at a random moment of the time that the lost node gave beforehand, so that its hosts
 * arrive at the others as fast as these let them in, and not at once. Each host has an order of nodes of its own. A node that wants the host to move keeps the old connection until the new one stands. A node that
 * has said nothing for three of its ping intervals is gone, whatever TCP believes.
 */
import type { Duplex } from "node:stream";
import type { Clock } from "../kernel/clock.ts";
import type { Logger } from "../kernel/log.ts";
import type { Random } from "../kernel/random.ts";
import { silentPings } from "../protocol/reverse.ts";
import type { AgentCore } from "./agent-core.ts";
import type { Adopted } from "./adopted-connections.ts";
import type { AgentServer } from "./agent-server.ts";
import type { Attach, AttachOutcome } from "./attach-client.ts";
import type { ModeDriver } from "./mode-driver.ts";

export interface ReversePorts {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly core: Pick<AgentCore, "held" | "lastSyncAtMs">;
  readonly server: Pick<AgentServer, "adopt">;
  readonly attach: Attach;
}

export interface ReverseOptions {
  /** Base URLs of nodes, or of a load balancer before them. */
  readonly nodes: readonly string[];
  /** Each node can be reached by its own address. */
  readonly isDirect: boolean;
}

const backoffMinMs = 500;
const backoffMaxMs = 30_000;
/** Between two nodes of one round: who was refused by one must not hit the next at the same instant. */
const nextNodeMs = 200;
/** A connection that lived so long was a good one: what follows starts from the beginning. */
const goodAfterMs = 10_000;
/**
 * A connection that was given up is still served for so long: what nodes send over it before they have
 * heard of the new one is answered, not cut off.
 */
const lingerMs = 1_000;

type Attached = Extract<AttachOutcome, { kind: "attached" }>;
type End = { readonly kind: "lost" } | { readonly kind: "move"; readonly withinMs: number };

/** One connection that stands; its socket is closed when the node has been silent for too long. */
class Standing {
  readonly sinceMs: number;
  /** Over how long the node wants its hosts to come again when it is lost. */
  lossSpreadMs: number;
  readonly ended: Promise<End>;
  readonly #clock: Clock;
  readonly #socket: Duplex;
  readonly #pingMs: number;
  #heardAtMs: number;
  #settle: ((end: End) => void) | undefined;
  #cancel: (() => void) | undefined;
  #adopted: Adopted | undefined;

  constructor(clock: Clock, { socket, pingMs, lossSpreadMs }: Attached) {
    this.#clock = clock;
    this.#socket = socket;
    this.#pingMs = pingMs;
    this.lossSpreadMs = lossSpreadMs ?? backoffMinMs;
    this.sinceMs = clock.monotonicMs();
    this.#heardAtMs = this.sinceMs;
    this.ended = new Promise((resolve) => {
      this.#settle = resolve;
    });
    socket.once("close", () => {
      this.#cancel?.();
      this.#settle?.({ kind: "lost" });
    });
    // Closed while its answer was on the way: nobody says so again.
    if (socket.destroyed) this.#settle?.({ kind: "lost" });
    else this.#watch();
  }

  /** From now on the node's requests are answered. */
  serve(server: Pick<AgentServer, "adopt">, onHeard: (atMs: number) => void): void {
    this.#adopted = server.adopt(this.#socket, {
      onHeard: (lossSpreadMs) => {
        this.lossSpreadMs = lossSpreadMs ?? this.lossSpreadMs;
        this.#heardAtMs = this.#clock.monotonicMs();
        onHeard(this.#heardAtMs);
      },
      onDetach: ({ withinMs }) => this.#settle?.({ kind: "move", withinMs }),
    });
  }

  release(): void {
    this.#adopted?.release();
  }

  #watch(): void {
    this.#cancel = this.#clock.after(this.#pingMs, () => {
      const quietMs = this.#clock.monotonicMs() - this.#heardAtMs;
      if (quietMs < silentPings * this.#pingMs) this.#watch();
      else this.#socket.destroy();
    });
  }
}

export class ReverseDriver implements ModeDriver {
  readonly mode = "reverse";
  readonly #ports: ReversePorts;
  readonly #options: ReverseOptions;
  /** In an order of this host's own: hosts that lose one node do not all go to the same next one. */
  readonly #nodes: readonly string[];
  /** Nodes that are left alone, until when. */
  readonly #restUntilMs = new Map<string, number>();
  /** How often in a row each node has failed. */
  readonly #failures = new Map<string, number>();
  #heardAtMs: number | undefined;
  #nextNode = 0;
  /** In a row. */
  #lossCount = 0;

  constructor(ports: ReversePorts, options: ReverseOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#nodes = shuffled(options.nodes, ports.random);
  }

  workedAtMs(): number | undefined {
    const syncedAtMs = this.#ports.core.lastSyncAtMs("reverse");
    if (this.#heardAtMs === undefined) return undefined;
    return Math.max(this.#heardAtMs, syncedAtMs ?? 0);
  }

  async run(signal: AbortSignal): Promise<void> {
    if (this.#nodes.length === 0) return;
    this.#heardAtMs = undefined;
    let standing: Standing | undefined;
    try {
      await this.#pause(backoffMinMs, signal);
      while (!signal.aborted) {
        const next = await this.#attachSomewhere(signal);
        if (standing !== undefined) void this.#releaseLater(standing, signal);
        standing = next;
        const end = await untilEnded(standing, signal);
        if (this.#ports.clock.monotonicMs() - standing.sinceMs >= goodAfterMs) {
          this.#lossCount = 0;
        }
        if (end.kind === "move") await this.#pause(end.withinMs, signal);
        else {
          standing.release();
          await this.#backOff(standing.lossSpreadMs, signal);
          standing = undefined;
        }
      }
    } finally {
      standing?.release();
    }
  }

  async #releaseLater(given: Standing, signal: AbortSignal): Promise<void> {
    try {
      await this.#ports.clock.sleep(lingerMs, signal);
    } catch {
      // The mode is left: at once.
    }
    given.release();
  }

  /** Asks nodes in turn until one takes the host. */
  async #attachSomewhere(signal: AbortSignal): Promise<Standing> {
    const { clock, log } = this.#ports;
    for (;;) {
      const node = this.#takeNode();
      if (node === undefined) {
        const waitMs = Math.min(...this.#restUntilMs.values()) - clock.monotonicMs();
        await clock.sleep(Math.max(0, waitMs), signal);
        continue;
      }
      const outcome = await this.#ask(node, signal);
      if (outcome.kind === "attached") {
        log.info({ node }, "attached");
        this.#failures.delete(node);
        return this.#stand(outcome);
      }
      log[outcome.kind === "refused" ? "warn" : "info"]({ node, ...outcome }, "not attached");
      const restMs = outcome.kind === "busy" ? this.#busyMs(node, outcome) : this.#failedMs(node);
      this.#restUntilMs.set(node, clock.monotonicMs() + restMs);
      await this.#pause(nextNodeMs, signal);
    }
  }

  /** Retry-After counts in seconds: the jitter fills the second up. */
  #busyMs(node: string, { retryAfterMs }: { readonly retryAfterMs: number }): number {
    this.#failures.delete(node);
    return retryAfterMs + this.#ports.random.next() * 1_000;
  }

  #failedMs(node: string): number {
    const count = this.#failures.get(node) ?? 0;
    this.#failures.set(node, count + 1);
    return this.#ports.random.next() * backoffBoundMs(count);
  }

  /** One node's answer; where it points to the owner, that one's, if it takes the host. */
  async #ask(node: string, signal: AbortSignal): Promise<AttachOutcome> {
    const { attach, core, log } = this.#ports;
    const { boot } = core.held();
    const { isDirect } = this.#options;
    const first = await attach(node, { boot, isDirect }, signal);
    if (first.kind !== "moved") return first;
    if (isFollowed(node, first.location)) {
      const owner = await attach(first.location, { boot, isDirect: false }, signal);
      if (owner.kind === "attached") return owner;
      log.info({ node: first.location, ...owner }, "not attached to the owner");
    }
    return attach(node, { boot, isDirect: false }, signal);
  }

  #stand(attached: Attached): Standing {
    const { clock, server } = this.#ports;
    const standing = new Standing(clock, attached);
    standing.serve(server, (atMs) => {
      this.#heardAtMs = atMs;
    });
    return standing;
  }

  /** The next node that may be asked now; undefined: all are left alone. */
  #takeNode(): string | undefined {
    const nodes = this.#nodes;
    const atMs = this.#ports.clock.monotonicMs();
    for (let step = 0; step < nodes.length; step++) {
      const node = nodes[this.#nextNode % nodes.length] ?? "";
      this.#nextNode = (this.#nextNode + 1) % nodes.length;
      if ((this.#restUntilMs.get(node) ?? -Infinity) <= atMs) return node;
    }
    return undefined;
  }

  async #backOff(lossSpreadMs: number, signal: AbortSignal): Promise<void> {
    await this.#pause(Math.max(lossSpreadMs, backoffBoundMs(this.#lossCount++)), signal);
  }

  /** A random part of `boundMs`. */
  async #pause(boundMs: number, signal: AbortSignal): Promise<void> {
    const { clock, random } = this.#ports;
    await clock.sleep(random.next() * boundMs, signal);
  }
}

function backoffBoundMs(count: number): number {
  return Math.min(backoffMaxMs, backoffMinMs * 2 ** Math.min(count, 16));
}

function shuffled(nodes: readonly string[], random: Random): string[] {
  const order = nodes.map((node) => ({ node, draw: random.next() }));
  return order.toSorted((a, b) => a.draw - b.draw).map(({ node }) => node);
}

/** A host that came over TLS does not show its proof without. */
function isFollowed(node: string, location: string): boolean {
  const [from, to] = [URL.parse(node), URL.parse(location)];
  if (from === null || to === null) return false;
  return to.protocol === "https:" || (to.protocol === "http:" && from.protocol === "http:");
}

function untilEnded({ ended }: Standing, signal: AbortSignal): Promise<End> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(asError(signal.reason));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void ended.then((end) => {
      signal.removeEventListener("abort", onAbort);
      return resolve(end);
    });
  });
}

function asError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
