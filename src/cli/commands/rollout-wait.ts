/**
 * `rollout wait`: returns when enough hosts hold the release, or says what is in the way.
 *
 * A node that goes away in the meantime does not end the wait: the next reading may come from another
 * one. The first reading must succeed, so that a wrong address fails at once.
 */
import type { Command } from "commander";
import { CoxswainError, isCoxswainError } from "../../kernel/errors.ts";
import { formatDuration } from "../../kernel/options.ts";
import type { RolloutView } from "../api-shapes.ts";
import { print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { countOf, printable } from "../format.ts";
import { parseDuration, parseGoal, type Goal } from "../parse-arguments.ts";
import { startProgress, type Progress } from "../progress.ts";
import { judgeGoal, type GoalVerdict } from "../rollout-goal.ts";
import { formatSplit } from "./rollout-view.ts";

const pollIntervalMs = 500;

interface WaitOptions {
  readonly for: string;
  readonly timeout: string;
}

interface Reading {
  readonly rollout: RolloutView;
  readonly verdict: GoalVerdict;
}

export function registerRolloutWait(rollout: Command, shell: CommandShell): void {
  shell.onApi<WaitOptions>(
    rollout
      .command("wait <id>")
      .description("Waits until enough hosts hold the release. Exit code 75: not in time.")
      .option("--for <share>", "a share of the matched hosts (99.5%) or a number of hosts", "100%")
      .option("--timeout <duration>", "longest wait: 60s, 5m", "5m")
      .addHelpText(
        "after",
        examples(
          "coxswain rollout wait r-01 --for 99.5% --timeout 60s",
          "coxswain rollout wait r-01 --for 150 --output json",
        ),
      ),
    waitForRollout,
  );
}

async function waitForRollout(
  deps: CommandDeps,
  { args, options }: CommandInput<WaitOptions>,
): Promise<number> {
  const { context, isJson } = deps;
  const [id = ""] = args;
  const goal = parseGoal(options.for);
  const timeoutMs = parseDuration("--timeout", options.timeout);
  const progress = startProgress(context, printable(id));
  let reading: Reading;
  try {
    reading = await readUntil(deps, id, goal, timeoutMs, progress);
  } finally {
    progress.stop();
  }
  const { rollout, verdict } = reading;
  const isReached = verdict.kind === "reached";
  print(
    context.stdout,
    isJson ? JSON.stringify({ reached: isReached, rollout }, null, 2) : formatSplit(rollout),
  );
  if (isReached) return 0;
  if (verdict.kind === "ended") {
    throw new CoxswainError(
      "ROLLOUT_SUPERSEDED",
      `Rollout ${id} is ${verdict.state}: nobody waits for it any more`,
    );
  }
  throw new CoxswainError(
    "WAIT_TIMEOUT",
    `Expected ${countOf(verdict.neededCount, "host")} to hold the release of ${id} within ${formatDuration(timeoutMs)}, got ${verdict.appliedCount}`,
  );
}

async function readUntil(
  { context, api }: CommandDeps,
  id: string,
  goal: Goal,
  timeoutMs: number,
  progress: Progress,
): Promise<Reading> {
  const endAtMs = context.clock.monotonicMs() + timeoutMs;
  let last: Reading | undefined;
  for (;;) {
    try {
      const rollout = await api.rollout(id);
      last = { rollout, verdict: judgeGoal(rollout, goal) };
      showReading(last, progress);
      if (last.verdict.kind !== "waiting") return last;
    } catch (error) {
      context.signal.throwIfAborted();
      const isWorthWaiting = isCoxswainError(error) && error.retryable;
      if (last === undefined || !isWorthWaiting) throw error;
      if (context.clock.monotonicMs() >= endAtMs) throw error;
    }
    const leftMs = endAtMs - context.clock.monotonicMs();
    if (leftMs <= 0) return last;
    await context.clock.sleep(Math.min(pollIntervalMs, leftMs), context.signal);
  }
}

function showReading({ rollout, verdict }: Reading, progress: Progress): void {
  if (verdict.kind === "ended" || rollout.counts === undefined) return;
  const { pending, rejected, unreachable, neverSeen } = rollout.counts;
  const note = `${pending} pending, ${rejected} rejected, ${unreachable} unreachable, ${neverSeen} never seen`;
  progress.update(verdict.appliedCount, verdict.neededCount, note);
}
