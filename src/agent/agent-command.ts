/**
 * `coxswain agent`: settings from a file and flags, one line when it listens, a graceful end.
 *
 * Only this file of the agent looks at the process: its folder, its signals, its output.
 */
import process from "node:process";
import { dirname, resolve } from "node:path";
import { isCoxswainError } from "../kernel/errors.ts";
import { createLogger, type LogLevel } from "../kernel/log.ts";
import { createAgent, type Agent } from "./agent.ts";
import {
  readAgentConfigFile,
  resolveAgentConfig,
  type AgentSettings,
  type RawAgentConfig,
} from "./config-file.ts";

/** Flags; each given one wins over the same key of the file. */
export interface AgentCommandOptions {
  readonly configFile?: string | undefined;
  readonly host?: string | undefined;
  readonly cluster?: string | undefined;
  readonly listen?: string | undefined;
  /** Relative to the current folder, as a person types it. */
  readonly dir?: string | undefined;
  readonly nodes?: readonly string[] | undefined;
  readonly acceptUnlisted?: boolean | undefined;
  readonly logLevel?: LogLevel | undefined;
}

/** Runs until SIGTERM or SIGINT and returns the exit code; a second signal ends at once. */
export async function runAgentCommand(options: AgentCommandOptions): Promise<number> {
  try {
    const settings = await settingsFrom(options);
    const log = createLogger(options.logLevel ?? "info", { component: "agent" });
    const agent = createAgent({ ...settings, log });
    const stopRequested = Promise.withResolvers<void>();
    const forgetSignals = watchSignals(stopRequested.resolve);
    try {
      await agent.start();
      process.stdout.write(`${listeningLine(agent, settings)}\n`);
      await stopRequested.promise;
    } finally {
      await agent.stop();
      forgetSignals();
    }
    return 0;
  } catch (error) {
    if (!isCoxswainError(error)) throw error;
    process.stderr.write(`${error.code}: ${error.message}\n${error.next}\n`);
    return error.exitCode;
  }
}

async function settingsFrom(options: AgentCommandOptions): Promise<AgentSettings> {
  const { configFile, logLevel: _, ...flags } = options;
  const given: RawAgentConfig = Object.fromEntries(
    Object.entries({
      ...flags,
      dir: flags.dir === undefined ? undefined : resolve(process.cwd(), flags.dir),
    }).filter(([, value]) => value !== undefined),
  );
  if (configFile === undefined) return resolveAgentConfig(given, process.cwd());
  const file = resolve(process.cwd(), configFile);
  return resolveAgentConfig({ ...(await readAgentConfigFile(file)), ...given }, dirname(file));
}

function listeningLine(agent: Agent, { host, targets }: AgentSettings): string {
  return `agent ${host} listens on ${agent.address ?? ""} and keeps its state in ${targets.folder}`;
}

/** Calls `onStop` at the first signal; the returned function forgets all signals. */
function watchSignals(onStop: () => void): () => void {
  let isStopping = false;
  const onSignal = () => {
    // Everything durable is durable at any moment: an abrupt end loses only the reply.
    if (isStopping) process.exit(1);
    isStopping = true;
    onStop();
  };
  process.on("SIGTERM", onSignal);
  process.on("SIGINT", onSignal);
  return () => {
    process.off("SIGTERM", onSignal);
    process.off("SIGINT", onSignal);
  };
}
