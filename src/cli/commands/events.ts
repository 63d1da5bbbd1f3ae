/**
 * `events`: follows what a node sees, one line an event, the recent ones first.
 *
 * Events wake people, they carry no truth: a broken connection is opened again, perhaps to another
 * node, and says so. A node repeats its recent events to every reader; those already shown are skipped.
 */
import type { Command } from "commander";
import { isCoxswainError, messageOf } from "../../kernel/errors.ts";
import { print, type TextOutput } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { eventFields, eventLine } from "../event-line.ts";
import { printable } from "../format.ts";
import { parseInteger } from "../parse-arguments.ts";

const reconnectDelayMs = 1_000;
/** Events remembered so that a repeat is not shown twice; more than a node repeats. */
const rememberedCount = 1_024;

interface EventOptions {
  readonly type?: string[];
  readonly count?: string;
}

export function registerEvents(program: Command, shell: CommandShell): void {
  shell.onApi<EventOptions>(
    program
      .command("events")
      .description("Follows events until Ctrl-C; reconnects, and says so, when a node goes away.")
      .option("--type <type...>", "only these types, for example view.changed host.reachability")
      .option("--count <n>", "end after this many events")
      .addHelpText(
        "after",
        examples("coxswain events", "coxswain events --type view.changed --count 1 --output json"),
      ),
    followEvents,
  );
}

async function followEvents(
  { context, api, isJson }: CommandDeps,
  { options }: CommandInput<EventOptions>,
): Promise<number> {
  const types = options.type === undefined ? undefined : new Set(options.type);
  const countMax =
    options.count === undefined
      ? Number.POSITIVE_INFINITY
      : parseInteger("--count", options.count, 1, 1_000_000_000);
  const seen = new Set<string>();
  let shownCount = 0;
  for (let isFirst = true; ; isFirst = false) {
    try {
      for await (const event of api.events(context.signal)) {
        if (seen.has(event.data) || (types !== undefined && !types.has(event.type))) continue;
        remember(seen, event.data);
        print(context.stdout, isJson ? JSON.stringify(eventFields(event)) : eventLine(event));
        shownCount += 1;
        if (shownCount >= countMax) return 0;
      }
      noteReconnect(context.stderr, "the node closed it");
    } catch (error) {
      context.signal.throwIfAborted();
      if (isFirst && isCoxswainError(error)) throw error;
      noteReconnect(context.stderr, messageOf(error));
    }
    await context.clock.sleep(reconnectDelayMs, context.signal);
  }
}

function noteReconnect(stderr: TextOutput, reason: string): void {
  print(
    stderr,
    `connection lost (${printable(reason)}); connecting again, some events may be missing`,
  );
}

function remember(seen: Set<string>, data: string): void {
  seen.add(data);
  const [oldest] = seen;
  if (seen.size > rememberedCount && oldest !== undefined) seen.delete(oldest);
}
