/**
 * What the hosts of a benchmark hold, seen from their side: which release each last took, from which
 * node, and how many syncs there were in each tenth of a second.
 *
 * Questions come over the process's IPC channel as `{id, ask, …}` and are answered as `{id, answer}`.
 * Times are milliseconds since 1970 with fractions: equal for all processes of one machine.
 */
import { request } from "undici";

export type SinkQuestion =
  /** Answered when `count` hosts hold `manifest`; hosts that `exceptNode` had at the mark do not count. */
  | {
      readonly ask: "held";
      readonly manifest: string;
      readonly count: number;
      readonly exceptNode?: string;
    }
  /** Remembers which node each host last heard; answers with the number of hosts by node. */
  | { readonly ask: "mark" }
  /** Hosts whose own connection ended since the mark count as those of `node`, too; answers as "mark". */
  | { readonly ask: "strike"; readonly node: string }
  /** Every answer from now on takes so long. */
  | { readonly ask: "delay"; readonly delayMs: number }
  | { readonly ask: "timeline" }
  /** All hosts say hello, spread evenly; answered when all have been told something. */
  | {
      readonly ask: "hello";
      readonly urls: readonly string[];
      readonly ids: readonly string[];
      readonly withinMs: number;
    };

export interface Timeline {
  readonly startMs: number;
  readonly perTick: readonly number[];
}

export const tickMs = 100;

interface Held {
  manifest: string;
  node: string;
  markedNode: string;
}

interface Waiting {
  readonly manifest: string;
  readonly exceptNode: string | undefined;
  left: number;
  readonly resolve: (atMs: number) => void;
}

export class SinkWatch {
  delayMs = 0;
  readonly #hosts = new Map<string, Held>();
  readonly #startMs = wallMs();
  readonly #perTick: number[] = [];
  #waiting: Waiting[] = [];

  /** A host took `manifest` from `node`. */
  synced(host: string, node: string, manifest: string): void {
    const tick = Math.floor((wallMs() - this.#startMs) / tickMs);
    this.#perTick[tick] = (this.#perTick[tick] ?? 0) + 1;
    let held = this.#hosts.get(host);
    if (held === undefined) {
      held = { manifest: "", node, markedNode: "" };
      this.#hosts.set(host, held);
    }
    held.node = node;
    if (held.manifest === manifest) return;
    held.manifest = manifest;
    for (const waiting of this.#waiting) this.#count(waiting, held);
  }

  /** `lost`: hosts whose own connection ended since the last question. */
  async answer(question: SinkQuestion, lost: () => readonly string[]): Promise<unknown> {
    switch (question.ask) {
      case "held":
        return this.#untilHeld(question.manifest, question.count, question.exceptNode);
      case "mark":
        lost();
        return this.#mark();
      case "strike":
        return this.#strike(question.node, lost());
      case "delay":
        this.delayMs = question.delayMs;
        return undefined;
      case "timeline": {
        const perTick = Array.from(this.#perTick, (count) => count ?? 0);
        return { startMs: this.#startMs, perTick } satisfies Timeline;
      }
      case "hello":
        return sayHello(question.urls, question.ids, question.withinMs);
    }
  }

  #untilHeld(manifest: string, count: number, exceptNode: string | undefined): Promise<number> {
    return new Promise((resolve) => {
      const waiting: Waiting = { manifest, exceptNode, left: count, resolve };
      this.#waiting.push(waiting);
      for (const held of this.#hosts.values()) this.#count(waiting, held);
    });
  }

  #count(waiting: Waiting, held: Held): void {
    if (held.manifest !== waiting.manifest || waiting.left === 0) return;
    if (waiting.exceptNode !== undefined && held.markedNode === waiting.exceptNode) return;
    waiting.left--;
    if (waiting.left > 0) return;
    waiting.resolve(wallMs());
    this.#waiting = this.#waiting.filter((each) => each !== waiting);
  }

  #mark(): Record<string, number> {
    for (const held of this.#hosts.values()) held.markedNode = held.node;
    return this.#marked();
  }

  #strike(node: string, lost: readonly string[]): Record<string, number> {
    for (const id of lost) {
      const held = this.#hosts.get(id);
      if (held !== undefined) held.markedNode = node;
    }
    return this.#marked();
  }

  #marked(): Record<string, number> {
    const counts: Record<string, number> = {};
    for (const { markedNode } of this.#hosts.values()) {
      counts[markedNode] = (counts[markedNode] ?? 0) + 1;
    }
    return counts;
  }
}

export function wallMs(): number {
  return performance.timeOrigin + performance.now();
}

async function sayHello(
  urls: readonly string[],
  ids: readonly string[],
  withinMs: number,
): Promise<{ readonly accepted: number }> {
  const startMs = performance.now();
  let accepted = 0;
  await Promise.all(
    ids.map(async (host, index) => {
      const dueMs = startMs + (index * withinMs) / ids.length;
      await new Promise((resolve) => {
        setTimeout(resolve, Math.max(0, dueMs - performance.now()));
      });
      const body = JSON.stringify({
        host,
        boot: "b2",
        fence: "0.0.0",
        manifest: `sha256:${"0".repeat(64)}`,
      });
      try {
        const reply = await request(`${urls[index % urls.length]}/coxswain/v1/hello`, {
          method: "POST",
          headers: { "content-type": "application/json", "coxswain-cluster": "coxswain" },
          body,
          headersTimeout: 10_000,
        });
        await reply.body.dump();
        if (reply.statusCode < 300) accepted++;
      } catch {
        // A node that sheds hellos is part of what is measured: it is not counted as accepted.
      }
    }),
  );
  return { accepted };
}
