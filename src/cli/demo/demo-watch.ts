/**
 * Watches the demo's cluster through its API: status twice a second, events as they come.
 *
 * A node that does not answer is nothing special here: the next one is asked.
 */
import type { HostView, RolloutView, StatusView } from "../api-shapes.ts";
import { createApiClient } from "../api-client.ts";
import { createApiTransport } from "../api-transport.ts";
import type { CliContext } from "../cli-context.ts";
import { isCoxswainError } from "../../kernel/errors.ts";
import type { DemoCluster } from "./demo-cluster.ts";
import { DemoEvents } from "./demo-events.ts";

const reconnectDelayMs = 1_000;
const streamDeadlineMs = 3_000;
const listedHostsMax = 10;

export class DemoWatch {
  readonly events = new DemoEvents();
  status: StatusView | undefined;
  /** Of the demo's last release at the last look. */
  rollout: RolloutView | undefined;
  unreachable: readonly HostView[] = [];
  readonly #cluster: DemoCluster;

  constructor(cluster: DemoCluster) {
    this.#cluster = cluster;
  }

  /** Reads everything once; keeps no old answer where no node gives a new one. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { api, release } = this.#cluster;
    try {
      this.status = await api.status();
      this.unreachable =
        this.status.hosts.unreachable === 0
          ? []
          : (await api.hosts({ sync: "unreachable", limit: listedHostsMax })).hosts;
      this.rollout = release === undefined ? undefined : await api.rollout(release.rolloutId);
    } catch (error) {
      signal.throwIfAborted();
      if (!isCoxswainError(error)) throw error;
      this.status = undefined;
    }
  }

  /** Follows every node's events until `signal` aborts; never rejects. */
  async followEvents(context: CliContext, signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#cluster.plan.nodes.map(({ apiUrl }) => this.#followNode(apiUrl, context, signal)),
    );
  }

  async #followNode(apiUrl: string, { clock }: CliContext, signal: AbortSignal): Promise<void> {
    const api = createApiClient(
      createApiTransport({
        addresses: [apiUrl],
        actor: "demo",
        deadlineMs: streamDeadlineMs,
        now: () => clock.monotonicMs(),
        signal,
      }),
    );
    while (!signal.aborted) {
      try {
        for await (const event of api.events(signal)) this.events.add(event);
        await clock.sleep(reconnectDelayMs, signal);
      } catch {
        // The node is away or the demo ends: the loop's condition tells which.
        await clock.sleep(reconnectDelayMs, signal).catch(() => {});
      }
    }
    await api.close();
  }
}
