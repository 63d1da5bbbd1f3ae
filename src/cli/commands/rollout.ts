/**
 * `rollout`: puts a release on the hosts that a selector matches.
 */
import type { Command } from "commander";
import { CoxswainError } from "../../kernel/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { countOf, formatAge, formatTable, printable, shortDigest } from "../format.ts";
import { readInput } from "../parse-arguments.ts";
import { resolveDigest } from "../resolve-digest.ts";
import { formatRollout, selectorText, startedLine } from "./rollout-view.ts";
import { registerRolloutWait } from "./rollout-wait.ts";

/** Exit code where a person answered no. */
const declinedExitCode = 1;
/** To know whether a selector matches all hosts, at most this many pages are counted. */
const countedPagesMax = 5;

interface StartOptions {
  readonly digest?: string;
  readonly file?: string;
  readonly remove?: boolean;
  readonly selector: string;
  readonly yes?: boolean;
}

export function registerRollout(program: Command, shell: CommandShell): void {
  const rollout = program
    .command("rollout")
    .description("Rollouts: a release of a config, put on the hosts that a selector matches.");
  registerStart(rollout, shell);
  shell.onApi(
    rollout
      .command("ls")
      .description("Lists rollouts, newest first. How far an active one is, `rollout show` says.")
      .addHelpText("after", examples("coxswain rollout ls")),
    listRollouts,
  );
  shell.onApi(
    rollout
      .command("show <id>")
      .description("One rollout: counts over the inventory, and what went wrong where.")
      .addHelpText("after", examples("coxswain rollout show r-01")),
    showRollout,
  );
  registerRolloutWait(rollout, shell);
  shell.onApi(
    rollout
      .command("undo <id>")
      .description("Starts a rollout that restores what this one replaced.")
      .addHelpText("after", examples("coxswain rollout undo r-01")),
    undoRollout,
  );
}

function registerStart(rollout: Command, shell: CommandShell): void {
  shell.onApi<StartOptions>(
    rollout
      .command("start <config>")
      .description("Rolls out the newest release, one named by --digest, or a file.")
      .option("--digest <digest>", "the release; the first 6 digits or more are enough")
      .option("--file <path>", "publish this file (- for standard input) first")
      .option("--remove", "remove the config from the hosts instead")
      .option("-l, --selector <selector>", "the hosts: role=edge,zone in (a,b); empty: all", "")
      .option("-y, --yes", "do not ask, even where every host is meant")
      .addHelpText(
        "after",
        examples(
          "coxswain rollout start routes.json --file ./routes.json -l role=edge",
          "coxswain rollout start routes.json --digest 3b1f0c9a72de --yes",
          "coxswain rollout start old.conf --remove -l zone=b",
        ),
      ),
    startRollout,
  );
}

async function startRollout(
  deps: CommandDeps,
  { args, options }: CommandInput<StartOptions>,
): Promise<number> {
  const { context, api, isJson } = deps;
  const [config = ""] = args;
  const named = [options.digest, options.file, options.remove].filter(
    (value) => value !== undefined,
  );
  if (named.length > 1) {
    throw new CoxswainError(
      "USAGE_INVALID",
      "Expected at most one of `--digest`, `--file` and `--remove`, got more",
    );
  }
  if (options.yes !== true && !(await isConfirmed(deps, config, options.selector))) {
    print(context.stderr, "Nothing was started.");
    return declinedExitCode;
  }
  const digest = await chosenDigest(deps, config, options);
  const started = await api.startRollout({ config, digest, selector: options.selector });
  const rollout = started.counts === undefined ? await api.rollout(started.id) : started;
  if (isJson) {
    print(context.stdout, JSON.stringify(rollout, null, 2));
    return 0;
  }
  print(context.stdout, startedLine(rollout));
  print(context.stderr, `next: coxswain rollout wait ${printable(rollout.id)}`);
  return 0;
}

async function chosenDigest(
  { context, api }: CommandDeps,
  config: string,
  { digest, file, remove }: StartOptions,
): Promise<string | null> {
  if (remove === true) return null;
  if (file === undefined) return resolveDigest(api, config, digest ?? "latest");
  const content = await readInput(file, context.stdin, limits.contentBytesMax);
  return (await api.putRelease(config, content)).digest;
}

/** Asks where a person is there and the selector means every host. */
async function isConfirmed(
  { context, api }: CommandDeps,
  config: string,
  selector: string,
): Promise<boolean> {
  if (context.confirm === undefined) return true;
  const totalCount = (await api.status()).hosts.total;
  const { count, isComplete } =
    selector.trim() === ""
      ? { count: totalCount, isComplete: true }
      : await countMatching(api, selector);
  if (isComplete && count < totalCount) return true;
  const many = isComplete
    ? `all ${countOf(count, "host")}`
    : `${count} or more of ${totalCount} hosts`;
  return context.confirm(`This changes ${printable(config)} on ${many}. Go on?`);
}

async function countMatching(
  api: CommandDeps["api"],
  selector: string,
): Promise<{ count: number; isComplete: boolean }> {
  let count = 0;
  let cursor: string | undefined;
  for (let pageCount = 0; pageCount < countedPagesMax; pageCount++) {
    const page = await api.hosts({ selector, limit: limits.pageHostsMax, cursor });
    count += page.hosts.length;
    if (page.next === null) return { count, isComplete: true };
    cursor = page.next;
  }
  return { count, isComplete: false };
}

async function listRollouts({ context, api, isJson }: CommandDeps): Promise<number> {
  const answer = await api.rollouts();
  if (isJson) {
    print(context.stdout, JSON.stringify(answer, null, 2));
    return 0;
  }
  const table = formatTable(
    ["rollout", "config", "release", "selector", "state", "author", "age"],
    answer.rollouts.map((rollout) => [
      printable(rollout.id),
      printable(rollout.config),
      rollout.digest === null ? "(removal)" : shortDigest(rollout.digest),
      selectorText(rollout),
      printable(rollout.state),
      printable(rollout.author),
      formatAge(rollout.at, context.clock.wallMs()),
    ]),
  );
  print(context.stdout, table);
  return 0;
}

async function showRollout(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const rollout = await api.rollout(args[0] ?? "");
  print(
    context.stdout,
    isJson ? JSON.stringify(rollout, null, 2) : formatRollout(rollout, context.clock.wallMs()),
  );
  return 0;
}

async function undoRollout(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const rollout = await api.undoRollout(args[0] ?? "");
  if (isJson) {
    print(context.stdout, JSON.stringify(rollout, null, 2));
    return 0;
  }
  print(context.stdout, startedLine(rollout));
  print(context.stderr, `next: coxswain rollout wait ${printable(rollout.id)}`);
  return 0;
}
