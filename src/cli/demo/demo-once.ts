/**
 * `demo --once`: the whole story without a terminal, checked at each step.
 *
 * What counts as held is what the hosts have on their disks, asked of the agents themselves; the API
 * must then say the same. Any step that does not come true before the deadline fails the run.
 */
import type { HostView } from "../api-shapes.ts";
import { print, type CliContext } from "../cli-context.ts";
import { countOf, formatCounts, formatFields, printable } from "../format.ts";
import { CoxswainError } from "../../kernel/errors.ts";
import type { DemoCluster, Release } from "./demo-cluster.ts";

const pollIntervalMs = 100;
/** At most this many hosts are stopped at the end. */
const stoppedHostsMax = 5;

type Step = readonly [title: string, result: string];

/** Runs the story on a cluster that has just started; throws where a step fails. */
export async function runOnce(
  cluster: DemoCluster,
  context: CliContext,
  signal: AbortSignal,
  startedInMs: number,
): Promise<void> {
  const story = new Story(cluster, context, signal);
  const { nodes, hosts } = cluster.plan;
  story.tell(
    "start",
    `${countOf(nodes.length, "node")} and ${countOf(hosts.length, "host")} in ${seconds(startedInMs)}`,
  );
  await story.firstRelease();
  await story.takeover();
  await story.stopHosts();
  print(context.stdout, `\n${formatFields(story.steps)}`);
}

class Story {
  readonly steps: Step[] = [];
  readonly #cluster: DemoCluster;
  readonly #context: CliContext;
  readonly #signal: AbortSignal;

  constructor(cluster: DemoCluster, context: CliContext, signal: AbortSignal) {
    this.#cluster = cluster;
    this.#context = context;
    this.#signal = signal;
  }

  tell(title: string, result: string): void {
    this.steps.push([title, result]);
    print(this.#context.stdout, `${title}: ${result}`);
  }

  async firstRelease(): Promise<void> {
    const startMs = this.#nowMs();
    const release = await this.#cluster.rollOut();
    const count = await this.#untilHeld(release);
    this.tell("release 1", `on the disks of ${count} hosts after ${this.#since(startMs)}`);
  }

  /** Kills the busiest node and rolls out at once: nothing may be lost. */
  async takeover(): Promise<void> {
    if (this.#cluster.plan.nodes.length < 2) {
      this.tell("takeover", "skipped: it needs two nodes");
      return;
    }
    const { slot, hostsCount } = await this.#cluster.busiestNode();
    const startMs = this.#nowMs();
    await this.#cluster.killNode(slot);
    this.tell("kill -9", `${slot}, owner of ${hostsCount} hosts`);
    const release = await this.#cluster.rollOut();
    const taken = this.#cluster.waitForTakeover(slot).then(() => this.#since(startMs));
    const [takenAfter, count] = await Promise.all([taken, this.#untilHeld(release)]);
    this.tell("takeover", `every host had a living owner after ${takenAfter}`);
    this.tell("release 2", `on the disks of ${count} hosts ${this.#since(startMs)} after the kill`);
  }

  async stopHosts(): Promise<void> {
    const stopped = this.#cluster.plan.hosts.slice(0, stoppedHostsMax).map(({ id }) => id);
    const startMs = this.#nowMs();
    await this.#cluster.agents.stop(stopped);
    const hosts = await this.#untilUnreachable(stopped);
    const after = this.#since(startMs);
    const reasons = hosts.map(({ id, lastError }) => {
      if (lastError === null) throw failed(`${id} is unreachable without a reason`);
      return `  ${printable(id)}  ${printable(`${lastError.class}: ${lastError.message}`)}`;
    });
    this.tell("stopped", `${stopped.length} hosts, listed as unreachable after ${after}`);
    print(this.#context.stdout, reasons.join("\n"));
    const status = await this.#cluster.api.status();
    this.tell("at the end", formatCounts(status.hosts));
    await this.#untilHeld(this.#releaseNow());
  }

  /** Waits until every running host has the release on disk, then until the API says so too. */
  async #untilHeld({ digest, rolloutId }: Release): Promise<number> {
    const { agents, api } = this.#cluster;
    for (;;) {
      const held = await agents.held();
      if (held.length === agents.runningCount && held.every((file) => file.digest === digest))
        break;
      await this.#context.clock.sleep(pollIntervalMs, this.#signal);
    }
    await this.#cluster.waitForStatus(({ missing }) => missing.length === 0);
    for (;;) {
      const { counts } = await api.rollout(rolloutId);
      if (counts !== undefined && counts.applied >= agents.runningCount) return agents.runningCount;
      await this.#context.clock.sleep(pollIntervalMs, this.#signal);
    }
  }

  /** Waits until exactly the hosts `ids` are unreachable: on a busy machine others may be for a moment. */
  async #untilUnreachable(ids: readonly string[]): Promise<readonly HostView[]> {
    for (;;) {
      await this.#cluster.waitForStatus(({ hosts }) => hosts.unreachable === ids.length);
      const { hosts } = await this.#cluster.api.hosts({ sync: "unreachable" });
      if (hosts.map(({ id }) => id).join() === ids.join()) return hosts;
      await this.#context.clock.sleep(pollIntervalMs, this.#signal);
    }
  }

  #releaseNow(): Release {
    const { release } = this.#cluster;
    if (release === undefined) throw failed("nothing was rolled out");
    return release;
  }

  #nowMs(): number {
    return this.#context.clock.monotonicMs();
  }

  #since(startMs: number): string {
    return seconds(this.#nowMs() - startMs);
  }
}

function seconds(durationMs: number): string {
  return `${(durationMs / 1000).toFixed(1)} s`;
}

function failed(message: string): CoxswainError {
  return new CoxswainError("DEMO_FAILED", message);
}
