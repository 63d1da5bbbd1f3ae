/**
 * The operational state a host returns in each reply: what the machine says, and what a command or
 * the embedding program adds.
 *
 * A state command runs on its own pace, not in a sync: a slow one must not delay configs. Its last
 * JSON object is merged into every reply under `custom`, with its age left to the reader's judgement
 * through `customAtUptimeSeconds`.
 */
import { freemem, loadavg, uptime } from "node:os";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import { limits } from "../protocol/limits.ts";
import type { Command, CommandRunner } from "./command-runner.ts";

export interface StateReportOptions {
  readonly agentVersion: string;
  readonly command?: Command | undefined;
  /** Time between two runs of the command. */
  readonly refreshMs: number;
  /** The embedding program's own addition, called at each sync. */
  readonly custom?: (() => Record<string, unknown>) | undefined;
}

export interface StateReport {
  report(): Record<string, unknown>;
  /** Runs the command now and then until `signal` aborts; returns at once where there is none. */
  run(signal: AbortSignal): Promise<void>;
}

export function createStateReport(
  ports: { clock: Clock; runner: CommandRunner; log: Logger },
  options: StateReportOptions,
): StateReport {
  let fromCommand: Record<string, unknown> = {};
  return {
    report: () => ({
      uptimeSeconds: Math.floor(uptime()),
      loadAverage: loadavg().map((value) => Math.round(value * 100) / 100),
      freeMemoryBytes: freemem(),
      version: options.agentVersion,
      ...fromCommand,
      ...(options.custom === undefined ? {} : { custom: options.custom() }),
    }),
    run: async (signal) => {
      const { command } = options;
      if (command === undefined) return;
      while (!signal.aborted) {
        fromCommand = await stateOf(command, ports.runner);
        if ("customError" in fromCommand) ports.log.warn(fromCommand, "state command failed");
        await ports.clock.sleep(options.refreshMs, signal);
      }
    },
  };
}

/** `custom` with the command's JSON object, or `customError` with what went wrong. */
async function stateOf(command: Command, runner: CommandRunner): Promise<Record<string, unknown>> {
  const outcome = await runner.run(command);
  const customAtUptimeSeconds = Math.floor(uptime());
  const wrong = (customError: string) => ({
    customError: customError.slice(0, 200),
    customAtUptimeSeconds,
  });
  if (outcome.kind === "notStarted") return wrong(outcome.message);
  if (outcome.kind !== "exited") return wrong(`The state command ${outcome.kind}`);
  if (outcome.code !== 0) return wrong(outcome.output.trim() || `exit code ${outcome.code}`);
  if (Buffer.byteLength(outcome.output) > limits.stateBytesMax) {
    return wrong(`Expected at most ${limits.stateBytesMax} bytes of JSON`);
  }
  try {
    const value: unknown = JSON.parse(outcome.output);
    return { custom: value, customAtUptimeSeconds };
  } catch (error) {
    return wrong(messageOf(error));
  }
}
