/**
 * Is it them or is it us? When everything fails at once, the node suspects itself first.
 *
 * Where at least `hostsMin` different hosts were attempted within a window and none answered,
 * verdicts are held: failures do not count against hosts, and pushing goes slowly. After
 * `holdMaxMs` without an answer the verdicts go through, because a whole room can lose its power.
 * Any answer ends the doubt. Local errors (no descriptors, no ports) pause all pushing, longer each
 * time. Source: the Kubernetes node lifecycle controller's brake on mass eviction.
 */
import type { HostId } from "../inventory/host.ts";

export interface SelfDoubtOptions {
  readonly hostsMin: number;
  readonly windowMs: number;
  readonly holdMaxMs: number;
}

const pauseBaseMs = 100;
const pauseCapMs = 5_000;

export class SelfDoubt {
  readonly #options: SelfDoubtOptions;
  /** At most `hostsMin` ids. */
  readonly #failedHosts = new Set<HostId>();
  #windowEndMs = -Infinity;
  #holdEndMs = -Infinity;
  #isDoubting = false;
  #localErrors = 0;

  constructor(options: SelfDoubtOptions) {
    this.#options = options;
  }

  /** A host answered, whatever it said. */
  answered(): void {
    this.#localErrors = 0;
    if (this.#failedHosts.size === 0) return;
    this.#failedHosts.clear();
    this.#isDoubting = false;
    this.#windowEndMs = -Infinity;
  }

  /** A host did not answer. */
  unanswered(id: HostId, atMs: number): void {
    if (this.#isDoubting) return;
    if (atMs >= this.#windowEndMs) {
      this.#failedHosts.clear();
      this.#windowEndMs = atMs + this.#options.windowMs;
    }
    this.#failedHosts.add(id);
    if (this.#failedHosts.size < this.#options.hostsMin) return;
    this.#isDoubting = true;
    this.#holdEndMs = atMs + this.#options.holdMaxMs;
  }

  /** A push failed on this machine; returns until when all pushing should rest. */
  localError(atMs: number): number {
    const pauseMs = Math.min(pauseCapMs, pauseBaseMs * 2 ** Math.min(this.#localErrors, 10));
    this.#localErrors++;
    return atMs + pauseMs;
  }

  /** True while failures must not be counted against hosts. */
  isHolding(atMs: number): boolean {
    return this.#isDoubting && atMs < this.#holdEndMs;
  }
}
