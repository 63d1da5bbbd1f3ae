/**
 * `hosts`: the inventory, one host or many at a time.
 */
import type { Command } from "commander";
import { limits } from "../../protocol/limits.ts";
import type { HostPage } from "../api-shapes.ts";
import { print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { formatAge, formatLabels, formatTable, printable, shorten } from "../format.ts";
import { parseInteger, parseLabels } from "../parse-arguments.ts";
import { resolveDigest } from "../resolve-digest.ts";
import { formatHost } from "./host-view.ts";
import { registerHostImport } from "./hosts-import.ts";

interface ListOptions {
  readonly selector?: string;
  readonly reachability?: string;
  readonly sync?: string;
  readonly limit: string;
  readonly cursor?: string;
  readonly all?: boolean;
}

export function registerHosts(program: Command, shell: CommandShell): void {
  const hosts = program
    .command("hosts")
    .description("The inventory: which hosts exist, and where.");
  registerAdd(hosts, shell);
  registerHostImport(hosts, shell);
  registerList(hosts, shell);
  shell.onApi(
    hosts
      .command("show <id>")
      .description("One host: what it should hold, what it holds, contact and state.")
      .addHelpText("after", examples("coxswain hosts show edge-17")),
    showHost,
  );
  shell.onApi(
    hosts
      .command("rm <id...>")
      .description("Removes hosts from the inventory; they keep what they run.")
      .addHelpText("after", examples("coxswain hosts rm edge-17 edge-18")),
    removeHosts,
  );
  registerPins(hosts, shell);
  shell.onApi(
    hosts
      .command("sync <id...>")
      .description("Asks the owners to sync these hosts now instead of at the next sweep.")
      .addHelpText("after", examples("coxswain hosts sync edge-17")),
    syncHosts,
  );
}

interface AddOptions {
  readonly label?: string[];
  readonly mode?: string[];
}

function registerAdd(hosts: Command, shell: CommandShell): void {
  shell.onApi<AddOptions>(
    hosts
      .command("add <id> [address]")
      .description("Registers a host, or changes its address, labels and modes.")
      .option(
        "--label <key=value...>",
        "labels of the host; all of them, they replace earlier ones",
      )
      .option(
        "--mode <mode...>",
        "how it is reached, best first: dial, reverse, knock, object, poll (a new host: dial)",
      )
      .addHelpText(
        "after",
        examples(
          "coxswain hosts add edge-17 http://10.0.0.17:9000 --label role=edge zone=a",
          "coxswain hosts add till-3 --mode reverse poll",
        ),
      ),
    addHost,
  );
}

function registerList(hosts: Command, shell: CommandShell): void {
  shell.onApi<ListOptions>(
    hosts
      .command("ls")
      .description("Lists hosts, ordered by id.")
      .option("-l, --selector <selector>", "only hosts whose labels match: role=edge,zone in (a,b)")
      .option("--reachability <state>", "only these: unknown, ok, suspect, unreachable, lost")
      .option("--sync <state>", "only these: applied, pending, rejected, unreachable, neverSeen")
      .option("--limit <n>", `at most this many, 1 to ${limits.pageHostsMax}`, "100")
      .option("--cursor <cursor>", "go on after an earlier page")
      .option("--all", "every page; --limit is then the size of one request")
      .addHelpText(
        "after",
        examples(
          "coxswain hosts ls -l role=edge,zone=a",
          "coxswain hosts ls --sync unreachable",
          "coxswain hosts ls --all --output json",
        ),
      ),
    listHosts,
  );
}

function registerPins(hosts: Command, shell: CommandShell): void {
  shell.onApi(
    hosts
      .command("pin <id> <config> <digest>")
      .description("Keeps one config of one host at a release, whatever rollouts say.")
      .addHelpText("after", examples("coxswain hosts pin edge-17 routes.json 3b1f0c9a72de")),
    pinHost,
  );
  shell.onApi(
    hosts
      .command("unpin <id> <config>")
      .description("Takes a pin away: the rules decide again.")
      .addHelpText("after", examples("coxswain hosts unpin edge-17 routes.json")),
    unpinHost,
  );
}

async function addHost(
  { context, api, isJson }: CommandDeps,
  { args, options }: CommandInput<AddOptions>,
): Promise<number> {
  const [id = "", address = ""] = args;
  const record = await api.putHost(id, {
    address,
    labels: parseLabels(options.label ?? []),
    ...(options.mode === undefined ? {} : { mode: options.mode }),
  });
  const where = [record.address, (record.modes ?? []).join(",")]
    .filter((part) => part !== "")
    .join(" ");
  const line = `${record.outcome ?? "stored"} ${record.id} ${where} ${formatLabels(record.labels)}`;
  print(context.stdout, isJson ? JSON.stringify(record, null, 2) : printable(line));
  return 0;
}

async function listHosts(
  { context, api, isJson }: CommandDeps,
  { options }: CommandInput<ListOptions>,
): Promise<number> {
  const { selector, reachability, sync, cursor } = options;
  const limit = parseInteger("--limit", options.limit, 1, limits.pageHostsMax);
  const query = { selector, reachability, sync, limit };
  let page = await api.hosts({ ...query, cursor });
  const found = [...page.hosts];
  while (options.all === true && page.next !== null) {
    page = await api.hosts({ ...query, cursor: page.next });
    found.push(...page.hosts);
  }
  const whole: HostPage = { ...page, hosts: found };
  if (isJson) {
    print(context.stdout, JSON.stringify(whole, null, 2));
    return 0;
  }
  print(
    context.stdout,
    found.length === 0 ? "No hosts match." : hostTable(whole, context.clock.wallMs()),
  );
  if (page.next !== null) {
    print(context.stderr, `… more: add --all, or --cursor ${printable(page.next)}`);
  }
  for (const slot of page.missing) {
    print(
      context.stderr,
      `! ${printable(slot)} does not answer: the state of its hosts is unknown`,
    );
  }
  return 0;
}

/** That a host is dialled goes without saying. */
function contactText({ lastContact, via }: HostPage["hosts"][number], wallMs: number): string {
  const age = formatAge(lastContact, wallMs);
  return via && via !== "dial" ? `${age} (${printable(via)})` : age;
}

function hostTable({ hosts }: HostPage, wallMs: number): string {
  return formatTable(
    ["host", "address", "labels", "owner", "sync", "reachability", "contact", "error"],
    hosts.map((host) => [
      printable(host.id),
      printable(host.address),
      formatLabels(host.labels),
      host.owner === null ? "-" : printable(host.owner),
      printable(host.sync),
      printable(host.reachability),
      contactText(host, wallMs),
      host.lastError === null
        ? "-"
        : shorten(printable(`${host.lastError.class}: ${host.lastError.message}`), 60),
    ]),
  );
}

async function showHost(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const host = await api.host(args[0] ?? "");
  print(
    context.stdout,
    isJson ? JSON.stringify(host, null, 2) : formatHost(host, context.clock.wallMs()),
  );
  return 0;
}

async function removeHosts(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  for (const id of args) {
    await api.deleteHost(id);
    if (!isJson) print(context.stdout, `removed ${printable(id)}`);
  }
  if (isJson) print(context.stdout, JSON.stringify({ removed: args }, null, 2));
  return 0;
}

async function syncHosts(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  for (const id of args) {
    await api.syncHost(id);
    if (!isJson) print(context.stdout, `asked for a sync of ${printable(id)}`);
  }
  if (isJson) print(context.stdout, JSON.stringify({ asked: args }, null, 2));
  return 0;
}

async function pinHost(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const [id = "", config = "", text = ""] = args;
  const digest = await resolveDigest(api, config, text);
  const record = await api.pinHost(id, config, digest);
  const line = `pinned ${printable(id)}: ${printable(config)} stays at ${digest}`;
  print(context.stdout, isJson ? JSON.stringify(record, null, 2) : line);
  return 0;
}

async function unpinHost(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const [id = "", config = ""] = args;
  const record = await api.unpinHost(id, config);
  const line = `unpinned ${printable(id)}: rollouts decide about ${printable(config)} again`;
  print(context.stdout, isJson ? JSON.stringify(record, null, 2) : line);
  return 0;
}
