/**
 * Which modes of an agent run: the best one always, each further one only while all better ones show no
 * sign of work.
 *
 * A mode is quiet when its last proof is older than its own `fallbackAfterMs`; when all that run are quiet,
 * the next one starts. When a better one has worked from one proof to another for `returnAfterMs` without
 * a gap, those below it stop. A relapse within an hour of a return doubles that time, up to an hour, so
 * that a link that comes and goes cannot make the agent come and go with it.
 *
 * Invariants: at least one mode runs; better ones run on while worse ones do, or they could not heal.
 */

export interface ModeChoiceOptions {
  /** For each mode, best first: how long after its last proof it counts as quiet. */
  readonly fallbackAfterMs: readonly number[];
  readonly returnAfterMs: number;
}

export type ModeChange =
  /** `mode` started beside the others. */
  | { readonly kind: "fellBack"; readonly mode: number }
  /** All below `mode` stopped. */
  | { readonly kind: "returned"; readonly mode: number };

export const returnAfterDefaultMs = 2 * 60_000;
const hourMs = 60 * 60_000;

interface Standing {
  startedMs: number;
  /** First and last proof of the time during which it has worked without a gap. */
  upSinceMs: number | undefined;
  provenMs: number | undefined;
}

export class ModeChoice {
  readonly #options: ModeChoiceOptions;
  /** One for each mode that runs. */
  #records: Standing[];
  #returnAfterMs: number;
  #returnedMs: number | undefined;
  /** The last return has been answered by a relapse already. */
  #hasRelapsed = false;

  constructor(options: ModeChoiceOptions, atMs: number) {
    this.#options = options;
    this.#records = [newStanding(atMs)];
    this.#returnAfterMs = options.returnAfterMs;
  }

  /** From 1 to the number of modes: as many run, from the best on. */
  get runningCount(): number {
    return this.#records.length;
  }

  /** How long a better mode has to work before it is trusted alone. */
  get returnAfterMs(): number {
    return this.#returnAfterMs;
  }

  /** `workedAtMs`: the last proof of each mode; undefined: none. At most one change a step. */
  step(workedAtMs: readonly (number | undefined)[], atMs: number): ModeChange | undefined {
    for (const [mode, record] of this.#records.entries()) {
      this.#note(record, workedAtMs[mode], this.#quietAfterMs(mode), atMs);
    }
    const healed = this.#records.findIndex((record) => this.#hasHealed(record));
    if (healed !== -1 && healed < this.#records.length - 1) return this.#returnTo(healed, atMs);
    const isAllQuiet = this.#records.every(({ upSinceMs, startedMs }, mode) => {
      return upSinceMs === undefined && atMs - startedMs >= this.#quietAfterMs(mode);
    });
    const hasNext = this.#records.length < this.#options.fallbackAfterMs.length;
    return isAllQuiet && hasNext ? this.#fallBack(atMs) : undefined;
  }

  #note(record: Standing, worked: number | undefined, quietAfterMs: number, atMs: number): void {
    const proof = worked ?? record.provenMs;
    const isGap =
      proof !== undefined &&
      record.provenMs !== undefined &&
      proof - record.provenMs >= quietAfterMs;
    record.provenMs = proof;
    if (proof === undefined || atMs - proof >= quietAfterMs) record.upSinceMs = undefined;
    else if (isGap || record.upSinceMs === undefined) record.upSinceMs = proof;
  }

  #hasHealed({ upSinceMs, provenMs }: Standing): boolean {
    if (upSinceMs === undefined || provenMs === undefined) return false;
    return provenMs - upSinceMs >= this.#returnAfterMs;
  }

  #returnTo(mode: number, atMs: number): ModeChange {
    this.#records = this.#records.slice(0, mode + 1);
    this.#returnedMs = atMs;
    this.#hasRelapsed = false;
    return { kind: "returned", mode };
  }

  #fallBack(atMs: number): ModeChange {
    if (this.#returnedMs !== undefined && !this.#hasRelapsed) {
      this.#hasRelapsed = true;
      const isRelapse = atMs - this.#returnedMs < hourMs;
      this.#returnAfterMs = isRelapse
        ? Math.min(Math.max(hourMs, this.#options.returnAfterMs), 2 * this.#returnAfterMs)
        : this.#options.returnAfterMs;
    }
    this.#records.push(newStanding(atMs));
    return { kind: "fellBack", mode: this.#records.length - 1 };
  }

  #quietAfterMs(mode: number): number {
    return this.#options.fallbackAfterMs[mode] ?? Number.POSITIVE_INFINITY;
  }
}

function newStanding(atMs: number): Standing {
  return { startedMs: atMs, upSinceMs: undefined, provenMs: undefined };
}
