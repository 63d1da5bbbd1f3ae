/**
 * One connection that a host opened to a node, as two Duplex ends over the simulated network.
 *
 * It behaves as TCP does: bytes arrive in order and once, a lost packet or a cut only delays them. A
 * process that is killed closes its end, a machine without power does not, and a deaf link is one that
 * something on the way has forgotten: nothing arrives any more and nobody is told.
 */
import { Duplex } from "node:stream";
import type { Network } from "./network.ts";
import type { ProcessClock } from "./process-clock.ts";
import type { Timeline } from "./timeline.ts";

export interface LinkSide {
  /** Endpoint name in the network. */
  readonly endpoint: string;
  readonly clock: ProcessClock;
  /** Something else answers on this machine, so that it refuses bytes for a process that is gone. */
  readonly isMachineUp: () => boolean;
}

interface LinkPorts {
  readonly timeline: Timeline;
  readonly network: Network;
  readonly onClosed: (link: SimLink) => void;
}

/** `end`: the other side has closed. */
type Item = Buffer | "end";

const retransmitMs = 1_000;

class LinkEnd extends Duplex {
  readonly side: LinkSide;
  readonly #carry: (item: Item) => void;

  constructor(side: LinkSide, carry: (end: LinkEnd, item: Item) => void) {
    super();
    this.side = side;
    this.#carry = (item) => carry(this, item);
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#carry(chunk);
    done();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#carry("end");
    done(error);
  }
}

export class SimLink {
  readonly node: Duplex & { readonly side: LinkSide };
  readonly host: Duplex & { readonly side: LinkSide };
  isDeaf = false;
  readonly #ports: LinkPorts;
  /** What is on its way, by the end that it goes to. */
  readonly #onWay = new Map<LinkEnd, Item[]>();

  constructor(ports: LinkPorts, sides: { readonly node: LinkSide; readonly host: LinkSide }) {
    this.#ports = ports;
    const node = new LinkEnd(sides.node, (_end, item) => this.#carry(node, host, item));
    const host = new LinkEnd(sides.host, (_end, item) => this.#carry(host, node, item));
    this.node = node;
    this.host = host;
    for (const end of [node, host]) end.on("error", () => {});
  }

  /** Both sides learn that the connection is gone. */
  break(): void {
    for (const end of [this.node, this.host]) end.side.clock.deliver(() => end.destroy());
    this.#ports.onClosed(this);
  }

  /** The kernel of a machine whose process is gone tells the other side. */
  reset(gone: "node" | "host"): void {
    const [from, to] = gone === "node" ? [this.node, this.host] : [this.host, this.node];
    this.#send(from as LinkEnd, to as LinkEnd, "end");
    this.#ports.onClosed(this);
  }

  #carry(from: LinkEnd, to: LinkEnd, item: Item): void {
    if (from.side.clock.state === "gone") return;
    this.#send(from, to, item);
    if (item === "end" && to.destroyed) this.#ports.onClosed(this);
  }

  #send(from: LinkEnd, to: LinkEnd, item: Item): void {
    const waiting = this.#onWay.get(to);
    if (waiting !== undefined) {
      waiting.push(item);
      return;
    }
    this.#onWay.set(to, [item]);
    this.#travel(from, to, this.#ports.network.streamDelayMs());
  }

  #travel(from: LinkEnd, to: LinkEnd, delayMs: number): void {
    const { timeline, network } = this.#ports;
    timeline.after(delayMs, () => {
      if (this.isDeaf) return;
      if (network.isCut(from.side.endpoint, to.side.endpoint)) {
        this.#travel(from, to, retransmitMs);
        return;
      }
      const items = this.#onWay.get(to) ?? [];
      this.#onWay.delete(to);
      this.#arrive(from, to, items);
    });
  }

  #arrive(from: LinkEnd, to: LinkEnd, items: readonly Item[]): void {
    const { clock, isMachineUp } = to.side;
    if (clock.state === "gone") {
      const isAnswered = items.some((item) => item !== "end");
      if (isAnswered && isMachineUp()) this.#send(to, from, "end");
      return;
    }
    clock.deliver(() => {
      for (const item of items) {
        if (item === "end") to.destroy();
        else if (!to.destroyed) to.push(item);
      }
    });
  }
}
