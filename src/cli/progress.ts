/**
 * Progress of long work on standard error: a bar where a terminal watches, plain lines otherwise.
 *
 * Standard output stays free for the result, so a pipe never sees progress.
 */
import cliProgress from "cli-progress";
import { print, type CliContext } from "./cli-context.ts";

/** Without a terminal one line is written at most this often. */
const plainLineIntervalMs = 2_000;

export interface Progress {
  /** `doneCount` of the total is done; `note` is shown behind it. */
  update(doneCount: number, totalCount: number, note: string): void;
  /** Removes the bar. Idempotent; call it on every path. */
  stop(): void;
}

export function startProgress(context: CliContext, label: string): Progress {
  return context.stderr.isTerminal ? barProgress(context, label) : plainProgress(context, label);
}

function barProgress({ stderr }: CliContext, label: string): Progress {
  const bar = new cliProgress.SingleBar({
    format: `${label} [{bar}] {percentage}% {value}/{total} {note}`,
    stream: stderr.stream,
    barCompleteChar: "=",
    barIncompleteChar: " ",
    barsize: 24,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
  });
  let isStarted = false;
  return {
    update(doneCount, totalCount, note) {
      if (isStarted) {
        bar.setTotal(totalCount);
        bar.update(doneCount, { note });
      } else {
        isStarted = true;
        bar.start(totalCount, doneCount, { note });
      }
    },
    stop: () => bar.stop(),
  };
}

function plainProgress({ stderr, clock }: CliContext, label: string): Progress {
  let lastLine = "";
  let lastAtMs = Number.NEGATIVE_INFINITY;
  return {
    update(doneCount, totalCount, note) {
      const line = `${label}: ${doneCount}/${totalCount}${note === "" ? "" : ` (${note})`}`;
      const nowMs = clock.monotonicMs();
      if (line === lastLine || nowMs - lastAtMs < plainLineIntervalMs) return;
      lastLine = line;
      lastAtMs = nowMs;
      print(stderr, line);
    },
    stop: () => {},
  };
}
