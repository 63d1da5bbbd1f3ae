/**
 * Between commander and the handlers: options in, exit code out.
 *
 * A handler is a function of its dependencies and its input that resolves to an exit code; it never
 * sees commander. The shell opens the API client for the handlers that need it and closes it after.
 */
import type { Command } from "commander";
import { createApiClient, type ApiClient } from "./api-client.ts";
import { createApiTransport, parseApiAddresses } from "./api-transport.ts";
import type { CliContext } from "./cli-context.ts";

const defaultApi = "http://127.0.0.1:7400";
const requestDeadlineMs = 10_000;

export interface CommandDeps {
  readonly context: CliContext;
  readonly api: ApiClient;
  /** Base URLs that `api` tries in turn. */
  readonly addresses: readonly string[];
  /** `--output json`: a program reads. */
  readonly isJson: boolean;
}

export interface CommandInput<Options> {
  readonly args: readonly string[];
  readonly options: Options;
}

interface SharedOptions {
  readonly api?: string;
  readonly output: "table" | "json";
  readonly actor?: string;
}

type ApiHandler<Options> = (deps: CommandDeps, input: CommandInput<Options>) => Promise<number>;
type LocalHandler<Options> = (context: CliContext, input: CommandInput<Options>) => Promise<number>;

export interface CommandShell {
  readonly context: CliContext;
  /** Runs `handler` when `command` is chosen, with an API client. */
  onApi<Options>(command: Command, handler: ApiHandler<Options>): void;
  /** The same for commands that do not talk to the API. */
  onLocal<Options>(command: Command, handler: LocalHandler<Options>): void;
  /** What the handler that ran returned; 0 where only help was shown. */
  exitCode(): number;
}

export function createCommandShell(context: CliContext): CommandShell {
  let exitCode = 0;
  return {
    context,
    onApi<Options>(command: Command, handler: ApiHandler<Options>) {
      command.configureHelp({ showGlobalOptions: true }).action(async () => {
        const shared = command.optsWithGlobals<SharedOptions>();
        const addresses = parseApiAddresses(
          shared.api ?? nonEmpty(context.env["COXSWAIN_API"]) ?? defaultApi,
        );
        const api = createApiClient(
          createApiTransport({
            addresses,
            actor: shared.actor ?? nonEmpty(context.env["COXSWAIN_ACTOR"]) ?? context.userName,
            deadlineMs: requestDeadlineMs,
            now: () => context.clock.monotonicMs(),
            signal: context.signal,
          }),
        );
        try {
          const deps = { context, api, addresses, isJson: shared.output === "json" };
          exitCode = await handler(deps, {
            args: command.args,
            options: command.opts() as Options,
          });
        } finally {
          await api.close();
        }
      });
    },
    onLocal<Options>(command: Command, handler: LocalHandler<Options>) {
      command.action(async () => {
        exitCode = await handler(context, {
          args: command.args,
          options: command.opts() as Options,
        });
      });
    },
    exitCode: () => exitCode,
  };
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === "" ? undefined : text;
}

/** The `Examples:` block under a command's help. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join("\n")}`;
}
