/**
 * The transport of one node: exchanges travel over the simulated network to whatever host listens at
 * the address, and end in the shapes that the undici transport gives.
 *
 * A deadline belongs to the node's own clock. It ends the exchange for the node only: a request on
 * its way, or waiting at a paused host, is executed all the same.
 */
import { gunzipSync } from "node:zlib";
import type { SyncReply } from "../src/protocol/sync.ts";
import type { ExchangeRequest, ExchangeResult, Transport } from "../src/push/transport.ts";
import type { Dice } from "./dice.ts";
import type { Network } from "./network.ts";
import type { Recorder } from "./observations.ts";
import type { ProcessClock } from "./process-clock.ts";

/** What a host does with a request that reached its machine. */
export interface Listener {
  /** Endpoint name in the network. */
  readonly endpoint: string;
  /** `answer` may be called later, or never. */
  receive(request: ExchangeRequest, answer: (result: ExchangeResult) => void): void;
}

export interface SimTransportPorts {
  readonly network: Network;
  readonly recorder: Recorder;
  readonly dice: Dice;
  /** Who has the address now: a listener, or a machine on which nothing listens, or nobody. */
  readonly resolve: (origin: string) => Listener | "nothingListens" | "noMachine";
  /** Exchanges that fail on this machine itself. */
  readonly localRatio: () => number;
}

const connectTimeoutMs = 3_000;

export class SimTransport implements Transport {
  readonly #ports: SimTransportPorts;
  readonly #slot: string;
  readonly #process: string;
  readonly #clock: ProcessClock;
  #pendingCount = 0;

  constructor(ports: SimTransportPorts, slot: string, process: string, clock: ProcessClock) {
    this.#ports = ports;
    this.#slot = slot;
    this.#process = process;
    this.#clock = clock;
  }

  get socketCount(): number {
    return this.#pendingCount;
  }

  /** Exchanges that have not ended. */
  get pendingCount(): number {
    return this.#pendingCount;
  }

  drop(): void {}

  exchange(request: ExchangeRequest): Promise<ExchangeResult> {
    const { recorder, dice, localRatio } = this.#ports;
    const ended = observePush(recorder, this.#process, this.#clock.monotonicMs(), request);
    this.#pendingCount++;
    return new Promise((resolve) => {
      let isSettled = false;
      const cancels: (() => void)[] = [];
      const settle = (result: ExchangeResult) => {
        if (isSettled) return;
        isSettled = true;
        this.#pendingCount--;
        for (const cancel of cancels) cancel();
        ended(result);
        resolve(result);
      };
      const failAfter = (delayMs: number, result: ExchangeResult) =>
        cancels.push(this.#clock.after(delayMs, () => settle(result)));
      if (dice.chance(localRatio())) {
        failAfter(0, failed("local", "EMFILE: too many open files", false));
        return;
      }
      this.#travel(request, settle, failAfter);
    });
  }

  #travel(
    request: ExchangeRequest,
    settle: (result: ExchangeResult) => void,
    failAfter: (delayMs: number, result: ExchangeResult) => void,
  ): void {
    const { network, resolve, dice } = this.#ports;
    const { deadlineMs } = request;
    const target = resolve(request.origin);
    const connectMs = Math.min(connectTimeoutMs, deadlineMs);
    const noConnection = failed("timeout", "no connection in time", false);
    const noReply = failed("ambiguous", "no complete reply before the deadline", true);
    if (target === "noMachine") {
      failAfter(connectMs, noConnection);
      return;
    }
    const endpoint = target === "nothingListens" ? "nowhere" : target.endpoint;
    const isCut = network.isCut(this.#slot, endpoint) || network.isCut(endpoint, this.#slot);
    // On a kept connection the request is sent into the cut; a new one is never established.
    if (isCut && dice.chance(0.5)) failAfter(connectMs, noConnection);
    else failAfter(deadlineMs, noReply);
    const reply = (result: ExchangeResult) =>
      network.send(endpoint, this.#slot, () => this.#clock.deliver(() => settle(result)));
    network.send(this.#slot, endpoint, () => {
      const listener = resolve(request.origin);
      if (listener === "nothingListens") {
        reply(failed("refused", "connect ECONNREFUSED", false));
      } else if (listener !== "noMachine") {
        listener.receive(request, reply);
      }
    });
  }
}

/** Notes the beginning of a push now, and its end when the returned function is called. */
export function observePush(
  recorder: Recorder,
  node: string,
  localMs: number,
  request: ExchangeRequest,
): (result: ExchangeResult) => void {
  const host = request.headers["coxswain-host"] ?? "";
  const fence = request.headers["coxswain-fence"] ?? "";
  const { manifest, isFull } = offerOf(request);
  recorder.observe({ kind: "push.sent", node, host, fence, manifest, isFull, localMs });
  return (result) => {
    const how = textOf(result);
    recorder.observe({ kind: "push.ended", node, host, manifest, how, ...saidIn(result) });
  };
}

export function failed(
  failure: Extract<ExchangeResult, { kind: "failed" }>["failure"],
  message: string,
  sent: boolean,
): ExchangeResult {
  return { kind: "failed", failure, message, sent };
}

const shortBytesMax = 120;

/** What a request offers, as it is on the wire. */
function offerOf({ body, headers }: ExchangeRequest): { manifest: string; isFull: boolean } {
  const bytes = body ?? Buffer.alloc(0);
  const isGzip = headers["content-encoding"] === "gzip";
  const text = (isGzip ? gunzipSync(bytes) : bytes).toString("utf8");
  const { manifest = "" } = JSON.parse(text) as { manifest?: string };
  return { manifest, isFull: text.length > shortBytesMax };
}

/** What a node can learn from an answer about a refused content. */
function saidIn(result: ExchangeResult): { boot: string | undefined; isRejected: boolean } {
  const nothing = { boot: undefined, isRejected: false };
  const isReply = result.kind === "reply" && result.status === 200;
  // Shorter is what a broken host answers (sim-host.ts).
  if (!isReply || result.body.length < 10) return nothing;
  const reply = JSON.parse(result.body.toString("utf8")) as SyncReply;
  const results = new Set(reply.configs.map((config) => config.result));
  // Contents that the host asks for come first, and what it could not apply is tried again: its verdict
  // stands alone in a later answer.
  const isFinal = !results.has("missing") && !results.has("failed");
  return { boot: reply.boot, isRejected: results.has("rejected") && isFinal };
}

function textOf(result: ExchangeResult): string {
  if (result.kind === "reply") return String(result.status);
  return result.kind === "failed" ? result.failure : result.kind;
}
