/**
 * What happened to a cluster since a moment, read from the logs of its containers and from those of its
 * hosts: who was marked for eviction, and how long hosts waited for a release.
 *
 * A container's log goes with it, so what it says is kept before it is removed.
 */
import type { Digest } from "../../src/protocol/digest.ts";
import type { ApplyRecord } from "./checker.ts";
import type { Engine } from "./engine.ts";
import { readLogs } from "./testimony.ts";

export interface Eviction {
  readonly slot: string;
  /** Incarnation and beat that the mark is about. */
  readonly key: string;
  /** `silent`, `stalled` or `command`. */
  readonly reason: string;
}

const tailLines = 15;

export class ClusterHistory {
  readonly #engine: Engine;
  readonly #sinceMs: number;
  readonly #evictions = new Map<string, Eviction>();

  /** `sinceMs` by the wall clock, which containers share with this process. */
  constructor(engine: Engine, sinceMs: number) {
    this.#engine = engine;
    this.#sinceMs = sinceMs;
  }

  /** What a container wrote to its log. */
  async log(name: string): Promise<string> {
    return this.#engine.log(name, this.#sinceMs);
  }

  /** Marks that these nodes have written, and all that were read before. */
  async evictions(nodes: readonly string[]): Promise<Eviction[]> {
    const logs = await Promise.all(nodes.map((name) => this.log(name)));
    for (const eviction of logs.flatMap((log) => evictionsIn(log, this.#sinceMs))) {
      this.#evictions.set(`${eviction.slot} ${eviction.key}`, eviction);
    }
    return [...this.#evictions.values()];
  }

  /** For each of `hosts` that `boxes` hold, the time from `sinceMs` until it had made `digest` durable. */
  async waitsMs(
    boxes: readonly string[],
    hosts: readonly string[],
    digest: Digest,
    sinceMs: number,
  ): Promise<number[]> {
    const logs = await readLogs(this.#engine, boxes);
    return hosts.flatMap((host) => {
      const heldAtMs = firstHeldAtMs(logs.get(host) ?? [], digest);
      return heldAtMs === undefined ? [] : [heldAtMs - sinceMs];
    });
  }

  /** The tail of every log, for a failed scenario. */
  async describe(names: readonly string[]): Promise<string> {
    const logs = await Promise.all(
      names.map(async (name) => {
        const log = await this.log(name).catch((error: unknown) => String(error));
        return `--- ${name}\n${log.split("\n").slice(-tailLines).join("\n")}`;
      }),
    );
    return logs.join("\n");
  }
}

function firstHeldAtMs(records: readonly ApplyRecord[], digest: Digest): number | undefined {
  const first = records.find(({ configs }) => configs.some((config) => config.digest === digest));
  return first === undefined ? undefined : Date.parse(first.at);
}

/** The engine cuts logs to the second: lines say the time more exactly. */
function evictionsIn(log: string, sinceMs: number): Eviction[] {
  return log.split("\n").flatMap((line) => {
    if (!line.includes('"msg":"member marked for eviction"')) return [];
    const { time, outcome, slot, key, reason } = lineOf(line);
    const isMark = outcome === "written" && Date.parse(time ?? "") >= sinceMs;
    return isMark && slot !== undefined && key !== undefined && reason !== undefined
      ? [{ slot, key, reason }]
      : [];
  });
}

/** `slot` stands twice, the writer's before the marked one's: the last one counts. */
function lineOf(line: string): Partial<Record<string, string>> {
  return JSON.parse(line) as Partial<Record<string, string>>;
}
