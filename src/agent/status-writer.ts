/**
 * Leaves a host's report in the object store, for an owner that the host cannot reach.
 *
 * One object a host, replaced as a whole: only the newest report counts, and only this host writes it, so
 * there is no condition. A place that cannot be written (a web server, no rights) is said once, and
 * rests; the host goes on reading all the same.
 */
import type { Clock } from "../kernel/clock.ts";
import { isCoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { encodeStatus, statusKey, type HostPointer } from "../objects/object-layout.ts";
import { isWritable, type ObjectReader } from "../objects/object-store.ts";
import { limits } from "../protocol/limits.ts";
import type { Answer } from "./sync-request.ts";

export interface StatusWriterPorts {
  readonly clock: Clock;
  readonly log: Logger;
  /** The agent process. */
  readonly boot: () => string;
}

/** Rights and outages are not mended by asking with every poll. */
const restMs = 5 * 60_000;

export class StatusWriter {
  readonly #ports: StatusWriterPorts;
  readonly #identity: { readonly host: string; readonly cluster: string };
  #serial = 0;
  #restUntilMs = -Infinity;
  #lastTrouble = "";

  constructor(
    ports: StatusWriterPorts,
    identity: { readonly host: string; readonly cluster: string },
  ) {
    this.#ports = ports;
    this.#identity = identity;
  }

  /** True where it lies there now. Rejects with the reason of `signal`. */
  async write(
    place: ObjectReader,
    pointer: Pick<HostPointer, "fence" | "manifest">,
    { status, body }: Pick<Answer, "status" | "body">,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { clock, boot } = this.#ports;
    if (!isWritable(place)) return this.#notice("the place can only be read");
    if (clock.monotonicMs() < this.#restUntilMs) return false;
    const { host, cluster } = this.#identity;
    const { fence, manifest } = pointer;
    const whose = { cluster, host, boot: boot(), serial: ++this.#serial };
    const bytes = encodeStatus({ ...whose, fence, manifest, status, reply: body });
    if (bytes.length > limits.statusBytesMax) return this.#notice(`${bytes.length} bytes`);
    try {
      await place.put(statusKey(cluster, host), bytes, { signal });
    } catch (error) {
      signal.throwIfAborted();
      if (!isCoxswainError(error)) throw error;
      this.#restUntilMs = clock.monotonicMs() + restMs;
      return this.#notice(messageOf(error));
    }
    this.#lastTrouble = "";
    return true;
  }

  /** The same trouble again is no news. */
  #notice(message: string): false {
    const level = message === this.#lastTrouble ? "debug" : "warn";
    this.#ports.log[level]({ error: message }, "no report can be left in the object store");
    this.#lastTrouble = message;
    return false;
  }
}
