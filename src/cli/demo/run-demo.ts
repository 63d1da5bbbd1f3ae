/**
 * The demo from start to end: ports, cluster, story or live view, and everything stopped again.
 */
import { CoxswainError } from "../../kernel/errors.ts";
import { print, type CliContext } from "../cli-context.ts";
import { countOf } from "../format.ts";
import { DemoCluster } from "./demo-cluster.ts";
import { runLive } from "./demo-live.ts";
import { runOnce } from "./demo-once.ts";
import type { DemoSize } from "./demo-plan.ts";
import { planOnFreePorts } from "./free-ports.ts";

/** `--once` must be done by then. */
const onceDeadlineMs = 90_000;

/** Runs the demo in `dir` until it is done or told to end; everything it started has ended then. */
export async function runDemo(
  dir: string,
  port: number | undefined,
  size: DemoSize,
  isOnce: boolean,
  context: CliContext,
): Promise<void> {
  const plan = await planOnFreePorts(dir, port, size);
  const { clock, stdout, stderr } = context;
  const deadline = new AbortController();
  const cancelDeadline = isOnce
    ? clock.after(onceDeadlineMs, () => deadline.abort(deadlineError()))
    : () => {};
  const signal = AbortSignal.any([context.signal, deadline.signal]);
  const startMs = clock.monotonicMs();
  let cluster: DemoCluster | undefined;
  try {
    print(
      stdout,
      `Starting ${countOf(size.nodesCount, "node")} and ${countOf(size.hostsCount, "host")} on 127.0.0.1 …`,
    );
    cluster = await DemoCluster.start(plan, context, signal, (line) => print(stdout, line));
    if (isOnce) await runOnce(cluster, context, signal, clock.monotonicMs() - startMs);
    else {
      await cluster.rollOut();
      await runLive(cluster, context, signal);
    }
  } catch (error) {
    if (cluster !== undefined && !context.signal.aborted) print(stderr, cluster.logTails());
    throw error;
  } finally {
    cancelDeadline();
    await cluster?.close();
  }
}

function deadlineError(): CoxswainError {
  return new CoxswainError(
    "DEMO_FAILED",
    `Expected the demo to be done within ${onceDeadlineMs / 1000} s; the last step printed is the last that came true`,
  );
}
