/**
 * One sync with one host: body, headers, exchange, meaning.
 *
 * Whatever goes wrong before the first byte (contents that cannot be read, a permission that ended
 * while they were) is this node's own trouble and says nothing about the host. Nothing is sent to a host
 * that was let go of, or moved, while its contents were read.
 */
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { HostId } from "../inventory/host.ts";
import type { Digest } from "../protocol/digest.ts";
import { formatFence } from "../protocol/fence.ts";
import { syncPath, type syncHeaders } from "../protocol/sync.ts";
import type { View } from "../ring/view.ts";
import { classifyExchange, outcome, type PushOutcome } from "./outcome.ts";
import { isCurrent, type Flight, type PushEntry } from "./push-entry.ts";
import type { Lane } from "./queue.ts";
import type { SyncBodies, SyncBody } from "./sync-body.ts";
import type { HostRoute, Transport } from "./transport.ts";

/** Who pushes; sent with every push. */
export interface PushIdentity {
  readonly cluster: string;
  readonly node: string;
  view(): View;
}

export interface SyncExchangePorts {
  readonly clock: Clock;
  readonly transport: Transport;
  mayPush(): boolean;
  /** Resolves when the pace has room for a push that waited for its contents; false: not any more. */
  paced(lane: Lane): Promise<boolean>;
}

/** One sync as it goes over the wire, whoever opened the connection. */
export interface RenderedSync {
  /** Lower-case names, as with a push. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly manifest: Digest;
}

export type PushDone = (entry: PushEntry, flight: Flight, pushed: PushOutcome) => void;

type SyncHeader = (typeof syncHeaders)[keyof typeof syncHeaders];

export class SyncExchange {
  readonly #ports: SyncExchangePorts;
  readonly #identity: PushIdentity;
  readonly #bodies: SyncBodies;
  readonly #options: { readonly deadlineMs: number; readonly sweepDeadlineMs: number };
  #viewVersion = -1;
  #viewText = "";

  constructor(
    ports: SyncExchangePorts,
    identity: PushIdentity,
    bodies: SyncBodies,
    options: { readonly deadlineMs: number; readonly sweepDeadlineMs: number },
  ) {
    this.#ports = ports;
    this.#identity = identity;
    this.#bodies = bodies;
    this.#options = options;
  }

  /** Calls `finish` once, later. Notes in `flight` what was sent and when. */
  run(entry: PushEntry, flight: Flight, finish: PushDone): void {
    const body = this.#bodies.bodyFor(entry.status, flight.manifest);
    if (body instanceof Promise) void this.#sendWhenReady(entry, flight, body, finish);
    else this.#send(entry, flight, body, finish);
  }

  async #sendWhenReady(
    entry: PushEntry,
    flight: Flight,
    rendering: Promise<SyncBody>,
    finish: PushDone,
  ): Promise<void> {
    let body: SyncBody;
    try {
      body = await rendering;
    } catch (error) {
      flight.isUnsent = true;
      finish(entry, flight, outcome("local", `contents cannot be read: ${messageOf(error)}`));
      return;
    }
    // Rendering may have taken a while: the pace counts anew, the permission may be gone, and the host may
    // belong to another node or live elsewhere. What it says to such a push counts for nothing (pusher.ts).
    const isRoom = await this.#ports.paced(flight.lane);
    if (isRoom && isCurrent(entry, flight) && this.#ports.mayPush()) {
      this.#send(entry, flight, body, finish);
      return;
    }
    flight.isUnsent = true;
    finish(entry, flight, outcome("local", "this node may not push now"));
  }

  /** What would be sent now, for a host that fetches it; rejects where contents cannot be read. */
  async render({ id, status, target }: PushEntry): Promise<RenderedSync> {
    const { manifest, fence } = target;
    const body = await this.#bodies.bodyFor(status, manifest);
    const headers = this.#headers(id, formatFence(fence), body);
    return { headers, body: body.bytes, manifest: manifest.digest };
  }

  #send(entry: PushEntry, flight: Flight, body: SyncBody, finish: PushDone): void {
    const { clock, transport } = this.#ports;
    const { deadlineMs, sweepDeadlineMs } = this.#options;
    flight.form = body.form;
    flight.startedMs = clock.monotonicMs();
    const route = routeOf(entry, flight);
    const exchange = transport.exchange({
      origin: flight.address,
      path: syncPath,
      headers: this.#headers(entry.id, flight.fenceText, body),
      body: body.bytes,
      deadlineMs: body.form === "full" ? deadlineMs : sweepDeadlineMs,
      route,
    });
    flight.via = route?.via;
    const { fenceText, manifest } = flight;
    const expected = { host: entry.id, manifest: manifest.digest, form: body.form, fenceText };
    void exchange.then((result) => finish(entry, flight, classifyExchange(result, expected)));
  }

  #headers(id: HostId, fenceText: string, body: SyncBody): Record<string, string> {
    const { cluster, node } = this.#identity;
    const { version } = this.#identity.view();
    if (version !== this.#viewVersion) {
      this.#viewVersion = version;
      this.#viewText = String(version);
    }
    // Literal keys in one fixed order: computed ones cost several times as much for each push.
    const headers = {
      "coxswain-cluster": cluster,
      "coxswain-node": node,
      "coxswain-view": this.#viewText,
      "coxswain-host": id,
      "coxswain-fence": fenceText,
      "content-type": "application/json",
      "accept-encoding": "identity",
    } satisfies Record<SyncHeader, string> & Record<string, string>;
    return body.isGzip ? { ...headers, "content-encoding": "gzip" } : headers;
  }
}

function routeOf({ id }: PushEntry, { modes, fence, manifest }: Flight): HostRoute | undefined {
  return modes === undefined ? undefined : { host: id, modes, fence, manifest };
}
