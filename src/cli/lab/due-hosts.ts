/**
 * Open-loop demand: which hosts are due, whatever became of earlier calls.
 *
 * Hosts are spread evenly over the interval, so that no shape suffers from calls that come in step. A
 * factor adds turns between a host's own ones and keeps those where they are, so that everything is as
 * before once it ends.
 */
export class DueHosts {
  readonly #hosts: number;
  readonly #perMs: number;
  #turn = 0;

  constructor(hosts: number, intervalMs: number) {
    this.#hosts = hosts;
    this.#perMs = hosts / intervalMs;
  }

  /** Indexes of the hosts that became due since the last call; `atMs` counts from the start. */
  take(atMs: number, factor = 1): number[] {
    const due: number[] = [];
    const untilTurn = Math.floor(atMs * this.#perMs);
    for (; this.#turn < untilTurn; this.#turn++) {
      for (let part = 0; part < factor; part++) {
        due.push((this.#turn + Math.floor((part * this.#hosts) / factor)) % this.#hosts);
      }
    }
    return due;
  }
}
