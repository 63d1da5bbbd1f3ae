/**
 * What a host can reach of the nodes: hello, attach, poll, report and knock, over the simulated network.
 *
 * Stands in for the HTTP and UDP listeners and clients (src/api/attach-server.ts, poll-routes.ts,
 * knock-listener.ts; src/agent/attach-client.ts, node-call.ts, knock-sender.ts): it maps answers of the
 * shipped node as those do. A forged datagram never gets behind the listener, so none is here. A
 * balancer sends a call to any slot, up or not; one that lies answers itself, and says that all is well.
 */
import type { Attach, AttachOutcome } from "../src/agent/attach-client.ts";
import type { SayHello } from "../src/agent/hello-client.ts";
import type { CallNode, NodeAnswer, NodeCall } from "../src/agent/node-call.ts";
import type { PollReply, ReportReply } from "../src/node/poll-calls.ts";
import { pollHeaders, reportPath } from "../src/protocol/poll.ts";
import type { Dice } from "./dice.ts";
import type { Network } from "./network.ts";
import type { Recorder } from "./observations.ts";
import type { ProcessClock } from "./process-clock.ts";
import { bodyOf } from "./host-syncs.ts";
import { stackOf, type SimHost } from "./sim-host.ts";
import type { SimLink } from "./sim-link.ts";
import type { NodeProcess } from "./sim-node.ts";

export interface Knock {
  readonly host: string;
  readonly counter: bigint;
}

export interface DoorsOfWorld {
  readonly network: Network;
  readonly recorder: Recorder;
  readonly dice: Dice;
  readonly slots: () => readonly string[];
  /** Those that a balancer holds healthy. */
  readonly wantedSlots: () => readonly string[];
  readonly processAt: (slot: string) => NodeProcess | undefined;
  /** `process` undefined: whoever answers the host is no node. */
  readonly openLink: (
    process: NodeProcess | undefined,
    slot: string,
    host: SimHost,
    clock: ProcessClock,
  ) => SimLink;
  readonly noteKnock: (knock: Knock) => void;
  /** Calls through the balancer that it answers itself. */
  readonly lieRatio: () => number;
}

export const balancerUrl = "http://balancer.sim:7401";
const attachTimeoutMs = 5_000;
const helloTimeoutMs = 5_000;
const pingDefaultMs = 30_000;
const countsPerMs = 1024n;
/** Calls that a balancer sends to any slot, however it is. */
const staleRatio = 0.2;

type Asked<T> =
  | { readonly kind: "answered"; readonly value: T }
  | { readonly kind: "refused" | "timedOut" };

interface Request<T> {
  readonly url: string;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly ask: (process: NodeProcess) => T | Promise<T>;
  readonly lie: () => T;
  /** An answer that came when nobody waited any more. */
  readonly onLate?: (value: T) => void;
}

export class SimDoors {
  readonly #world: DoorsOfWorld;
  readonly #host: SimHost;
  readonly #clock: ProcessClock;
  #lastCounter = 0n;

  /** For one life of the host's process. */
  constructor(world: DoorsOfWorld, host: SimHost, clock: ProcessClock) {
    this.#world = world;
    this.#host = host;
    this.#clock = clock;
  }

  readonly sayHello: SayHello = async (url, hello, signal) => {
    const asked = await this.#request<"heard" | "unknownHost">({
      url,
      timeoutMs: helloTimeoutMs,
      signal,
      ask: async ({ node }) =>
        (await node.hello(hello)) === "unknownHost" ? "unknownHost" : "heard",
      lie: () => "heard",
    });
    if (asked.kind !== "answered") return { kind: "unreachable", message: asked.kind };
    return asked.value === "heard" ? { kind: "heard" } : { kind: "refused", status: 404 };
  };

  readonly sayKnock: SayHello = (url) => {
    const { network, noteKnock, processAt } = this.#world;
    const byClock = BigInt(Math.floor(this.#clock.wallMs())) * countsPerMs;
    this.#lastCounter = byClock > this.#lastCounter ? byClock : this.#lastCounter + 1n;
    const knock: Knock = { host: this.#host.id, counter: this.#lastCounter };
    noteKnock(knock);
    const slot = this.#slotOf(url);
    if (slot !== undefined) {
      network.send(this.#host.endpoint, slot, () => deliverKnocks(processAt(slot), [knock]));
    }
    return Promise.resolve({ kind: "unanswered" });
  };

  readonly attach: Attach = async (url, { isDirect }, signal) => {
    const asked = await this.#request<AttachOutcome>({
      url,
      timeoutMs: attachTimeoutMs,
      signal,
      ask: (process) => this.#attachTo(process, isDirect),
      lie: () => {
        const link = this.#world.openLink(undefined, "balancer", this.#host, this.#clock);
        return {
          kind: "attached",
          socket: link.host,
          pingMs: pingDefaultMs,
          lossSpreadMs: undefined,
        };
      },
      onLate: (outcome) => {
        if (outcome.kind === "attached") outcome.socket.destroy();
      },
    });
    if (asked.kind === "answered") return asked.value;
    return { kind: "unreachable", message: asked.kind };
  };

  readonly callNode: CallNode = async (call, signal) => {
    const asked = await this.#request<NodeAnswer>({
      url: call.url.href,
      timeoutMs: call.timeoutMs,
      signal,
      ask: (process) => this.#callTo(process, call),
      lie: () => answerOf(200),
    });
    if (asked.kind === "answered") return asked.value;
    return { kind: "unreachable", message: asked.kind };
  };

  #attachTo(process: NodeProcess, isDirect: boolean): AttachOutcome {
    const { reverse } = process.node.shapes;
    const verdict = reverse.judge({ host: this.#host.id, isDirect, isProven: () => true });
    switch (verdict.kind) {
      case "admitted": {
        const link = this.#world.openLink(process, process.slot, this.#host, this.#clock);
        reverse.attach(verdict.id, link.node);
        const pingMs = reverse.pingIntervalMs;
        const lossSpreadMs = reverse.lossSpreadMs();
        return { kind: "attached", socket: link.host, pingMs, lossSpreadMs };
      }
      case "busy":
        return { kind: "busy", retryAfterMs: verdict.retryAfterSeconds * 1_000 };
      case "moved":
        return verdict;
      case "unproven":
        return { kind: "refused", status: 401 };
      case "unknownHost":
        return { kind: "refused", status: 404 };
    }
  }

  async #callTo({ node }: NodeProcess, { url, headers, body, timeoutMs }: NodeCall) {
    const { polls } = node.shapes;
    const host = this.#host.id;
    if (url.pathname === reportPath) {
      const status = Number(headers[pollHeaders.status]);
      return reportAnswer(await polls.report(host, { status, body: body ?? Buffer.alloc(0) }));
    }
    const reply =
      polls.refusal() ??
      (await polls.poll({
        host,
        etag: headers["if-none-match"],
        held: headers[pollHeaders.held],
        timeoutMs,
        isGone: () => this.#clock.state === "gone",
      }));
    return pollAnswer(reply);
  }

  /** Undefined: the balancer answers itself. */
  #slotOf(url: string): string | undefined {
    const { dice, lieRatio, slots, wantedSlots } = this.#world;
    const [name = ""] = new URL(url).hostname.split(".");
    if (name !== "balancer") return name;
    if (dice.chance(lieRatio())) return undefined;
    return dice.pick(dice.chance(staleRatio) ? slots() : wantedSlots());
  }

  #request<T>({ url, timeoutMs, signal, ask, lie, onLate }: Request<T>): Promise<Asked<T>> {
    const { network, recorder, processAt } = this.#world;
    const { endpoint, id } = this.#host;
    const clock = this.#clock;
    return new Promise((resolve, reject) => {
      let isSettled = false;
      const settle = (end: () => void) => {
        isSettled = true;
        cancel();
        signal.removeEventListener("abort", onAbort);
        end();
      };
      const onAbort = () => settle(() => reject(signal.reason as Error));
      const end = (asked: Asked<T>) => {
        if (!isSettled) settle(() => resolve(asked));
        else if (asked.kind === "answered") onLate?.(asked.value);
      };
      const cancel = clock.after(timeoutMs, () => end({ kind: "timedOut" }));
      if (signal.aborted) {
        onAbort();
        return;
      }
      signal.addEventListener("abort", onAbort, { once: true });
      const slot = this.#slotOf(url);
      const from = slot ?? "balancer";
      // A connection carries a request and its answer once, whatever the network repeats.
      const reply = (asked: Asked<T>) =>
        network.send(
          from,
          endpoint,
          once(() => clock.deliver(() => end(asked))),
        );
      const execute = async (process: NodeProcess) => {
        try {
          reply({ kind: "answered", value: await ask(process) });
        } catch (error) {
          recorder.fail("crash", "host's call", stackOf(error), [process.name, id]);
        }
      };
      const arrive = () => {
        const process = slot === undefined ? undefined : processAt(slot);
        if (slot === undefined) reply({ kind: "answered", value: lie() });
        else if (process === undefined) reply({ kind: "refused" });
        else process.clock.deliver(() => void execute(process));
      };
      network.send(endpoint, from, once(arrive));
    });
  }
}

export function deliverKnocks(process: NodeProcess | undefined, knocks: readonly Knock[]): void {
  process?.clock.deliver(() => process.node.shapes.knocks.received(knocks));
}

function once(call: () => void): () => void {
  let isDone = false;
  return () => {
    if (isDone) return;
    isDone = true;
    call();
  };
}

/** As in src/api/poll-routes.ts. */
function pollAnswer(reply: PollReply): NodeAnswer {
  if (reply.kind === "busy") return busyAnswer(reply.retryAfterMs);
  const headers = { [pollHeaders.nextPoll]: String(Math.ceil(reply.nextPollMs) / 1_000) };
  if (reply.kind === "unchanged") return answerOf(304, { ...headers, etag: reply.etag });
  if (reply.kind !== "sync") return answerOf(reply.kind === "unproven" ? 401 : 404, headers);
  const { "accept-encoding": _meaningless, ...sync } = reply.headers;
  const json = bodyOf({ headers: sync, body: Buffer.from(reply.body, "base64") });
  return answerOf(200, { ...sync, ...headers, etag: reply.etag }, json);
}

function reportAnswer(reply: ReportReply): NodeAnswer {
  if (reply.kind === "busy") return busyAnswer(reply.retryAfterMs);
  if (reply.kind === "taken") return answerOf(200, {}, { needsSync: reply.needsSync });
  return answerOf(reply.kind === "unproven" ? 401 : 404);
}

function busyAnswer(retryAfterMs: number): NodeAnswer {
  return { ...answerOf(503), retryAfterMs: Math.ceil(retryAfterMs / 1_000) * 1_000 };
}

function answerOf(status: number, headers: Record<string, string> = {}, json?: unknown) {
  return { kind: "answered", status, headers, json, retryAfterMs: undefined } as const;
}
