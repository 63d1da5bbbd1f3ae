/** `doctor`: checks a deployment from this machine and says what to fix. */
import { randomUUID } from "node:crypto";
import type { Command } from "commander";
import { envName, resolveOptions } from "../../kernel/options.ts";
import { initOptions, nodeOptions, storeOptions } from "../../node/options.ts";
import { createApiClient } from "../api-client.ts";
import { createApiTransport } from "../api-transport.ts";
import { print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { diagnose } from "../doctor/diagnose.ts";
import { gather } from "../doctor/gather.ts";
import { openForDoctor, type OpenedStore } from "../doctor/gather-store.ts";
import { reportJson, reportTable, countVerdicts } from "../doctor/report.ts";
import { parseDuration, parseInteger } from "../parse-arguments.ts";
import { addOptionTable, rawOptionsOf } from "./option-flags.ts";

/** One call of a node, other than its self check. */
const callDeadlineMs = 8_000;
const hostsMaxMax = 100;
/** Something to fix was found; warnings alone are no failure. */
const findingsExitCode = 1;

interface DoctorOptions extends Readonly<Record<string, unknown>> {
  readonly agentConfig?: string;
  readonly hosts: string;
  readonly timeout: string;
}

export function registerDoctor(program: Command, shell: CommandShell): void {
  const command = program
    .command("doctor")
    .description(
      "Checks a deployment and says what to fix: store and rights, nodes, agreement, alarms, hosts, limits. Changes nothing but an item of its own in the table.",
    )
    .option("--agent-config <file>", "on a host: try the way back to the nodes that its agent has")
    .option("--hosts <n>", "ask the owners of this many hosts to sync them now", "10")
    .option("--timeout <duration>", "longest time for all checks", "30s")
    .addHelpText(
      "after",
      examples(
        "coxswain doctor --api http://10.0.1.11:7400 --store-table coxswain --store-region eu-central-1",
        "coxswain doctor --config /etc/coxswain/node.yaml --output json",
        "coxswain doctor --api http://10.0.1.11:7400 --agent-config /etc/coxswain/agent.yaml",
      ),
    );
  addOptionTable(command, storeOptions);
  shell.onApi<DoctorOptions>(command, examine);
}

async function examine(
  { context, api, addresses, isJson }: CommandDeps,
  { options }: CommandInput<DoctorOptions>,
): Promise<number> {
  const { clock, stdout, userName } = context;
  const hostsMax = parseInteger("--hosts", options.hosts, 0, hostsMaxMax);
  const timeoutMs = parseDuration("--timeout", options.timeout);
  const store = await openStoreOf(options, context.env);
  const over = new AbortController();
  const reason = new Error(
    `not within the ${options.timeout} that all checks may take (--timeout)`,
  );
  const cancel = clock.after(timeoutMs, () => over.abort(reason));
  const signal = AbortSignal.any([context.signal, over.signal]);
  const connect = (url: string) =>
    createApiClient(
      createApiTransport({
        addresses: [url],
        actor: userName,
        deadlineMs: callDeadlineMs,
        now: () => clock.monotonicMs(),
        signal,
      }),
    );
  try {
    const { agentConfig } = options;
    const plan = { store, addresses, hostsMax, agentConfig, itemName: randomUUID() };
    const facts = await gather({ clock, signal, api, connect }, plan);
    context.signal.throwIfAborted();
    const findings = diagnose(facts);
    print(stdout, isJson ? reportJson(findings) : reportTable(findings, stdout));
    return countVerdicts(findings).fail > 0 ? findingsExitCode : 0;
  } finally {
    cancel();
    if (store.kind === "opened") await store.close();
  }
}

/** The file may be a node's or that of `init`: what does not concern the store is checked and left. */
async function openStoreOf(
  options: DoctorOptions,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<OpenedStore> {
  const { configFile, flags, env } = rawOptionsOf(options, environment);
  const isGiven =
    configFile !== undefined ||
    Object.keys(storeOptions).some(
      (name) => flags[name] !== undefined || (env[envName(name)] ?? "") !== "",
    );
  if (!isGiven) return { kind: "notGiven" };
  const { readOptionFile } = await import("../../api/raw-options.ts");
  const sources = { file: readOptionFile(configFile), env, flags };
  return openForDoctor(resolveOptions({ ...initOptions, ...nodeOptions }, sources));
}
