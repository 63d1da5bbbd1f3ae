/**
 * `status`, `members`, `members evict`, `placement`: who is there, who owns what, and what is wrong,
 * worst first.
 */
import type { Command } from "commander";
import type { HostView, MembersView, StatusView } from "../api-shapes.ts";
import { paint, print, type CliContext } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import {
  countOf,
  formatAge,
  formatCounts,
  formatFields,
  formatTable,
  printable,
  shorten,
} from "../format.ts";

/** Hosts listed by name in `status`; `hosts ls` has the rest. */
const listedHostsMax = 20;

export function registerStatus(program: Command, shell: CommandShell): void {
  shell.onApi(
    program
      .command("status")
      .description("Problems first, then hosts by state and the members of the cluster.")
      .addHelpText("after", examples("coxswain status", "coxswain status --output json")),
    showStatus,
  );
  const members = program
    .command("members")
    .description("Every member with its state, beat, the view it has loaded, and its share.")
    .addHelpText("after", examples("coxswain members", "coxswain members evict node-2"));
  shell.onApi(members, showMembers);
  shell.onApi(
    members
      .command("evict")
      .argument("<slot>", "the member's slot")
      .description("Takes a member out of the view now; its hosts get new owners.")
      .addHelpText(
        "after",
        `
A process that still lives joins again after a probation of 300 beats: end it before.
${examples("coxswain members evict node-2")}`,
      ),
    evictMember,
  );
  shell.onApi<{ host?: string }>(
    program
      .command("placement")
      .description("How many partitions each node owns, or who owns one host.")
      .option("--host <id>", "the host to place; it need not be registered")
      .addHelpText("after", examples("coxswain placement", "coxswain placement --host edge-17")),
    showPlacement,
  );
}

async function showStatus({ context, api, isJson }: CommandDeps): Promise<number> {
  const [status, unreachable, rejected] = await Promise.all([
    api.status(),
    api.hosts({ sync: "unreachable", limit: listedHostsMax }),
    api.hosts({ sync: "rejected", limit: listedHostsMax }),
  ]);
  if (isJson) {
    const problems = { unreachable: unreachable.hosts, rejected: rejected.hosts };
    print(context.stdout, JSON.stringify({ ...status, problems }, null, 2));
    return 0;
  }
  const sections = [
    problemLines(context, status),
    formatCounts(status.hosts),
    membersTable(status),
    hostSection(
      "Unreachable hosts",
      unreachable.hosts,
      status.hosts.unreachable,
      "unreachable",
      context,
    ),
    hostSection("Hosts that refused", rejected.hosts, status.hosts.rejected, "rejected", context),
  ];
  print(context.stdout, sections.filter((section) => section !== "").join("\n\n"));
  return 0;
}

/** One line a problem; a quiet cluster gets one line that says so. */
function problemLines({ stdout }: CliContext, { hosts, missing, view }: StatusView): string {
  const red = (text: string) => paint(stdout, "red", text);
  const yellow = (text: string) => paint(stdout, "yellow", text);
  const lines = [
    ...missing.map((slot) =>
      red(`! ${printable(slot)} does not answer: the counts lack its hosts`),
    ),
    ...(hosts.unreachable > 0 ? [red(`! ${countOf(hosts.unreachable, "host")} unreachable`)] : []),
    ...(hosts.rejected > 0
      ? [red(`! ${countOf(hosts.rejected, "host")} refused what they should hold`)]
      : []),
    ...((hosts.damaged ?? 0) > 0
      ? [red(`! ${countOf(hosts.damaged ?? 0, "host")} with a record that cannot be read`)]
      : []),
    ...(hosts.neverSeen > 0
      ? [yellow(`! ${countOf(hosts.neverSeen, "host")} never seen yet`)]
      : []),
    ...view.members
      .filter(({ state }) => state !== "active")
      .map(({ slot, state }) => yellow(`! ${printable(slot)} is ${printable(state)}`)),
  ];
  return lines.length === 0 ? paint(stdout, "green", "No problems.") : lines.join("\n");
}

function membersTable({ view, cluster, node }: StatusView): string {
  const table = formatTable(
    ["member", "state", "incarnation", "partitions", "hosts", "api"],
    view.members.map((member) => [
      printable(member.slot),
      printable(member.state),
      String(member.incarnation),
      String(member.partitions),
      member.hosts === null ? "?" : String(member.hosts),
      printable(member.url),
    ]),
  );
  return `Cluster ${printable(cluster.id)}, view ${view.generation}.${view.version} as ${printable(node.slot)} sees it\n${table}`;
}

function hostSection(
  title: string,
  hosts: readonly HostView[],
  totalCount: number,
  sync: string,
  { clock }: CliContext,
): string {
  if (hosts.length === 0) return "";
  const table = formatTable(
    ["host", "address", "last contact", "next try", "reason"],
    hosts.map((host) => [
      printable(host.id),
      printable(host.address),
      sinceText(host.lastContact, clock.wallMs()),
      nextTryText(host.nextAttempt, clock.wallMs()),
      reasonText(host),
    ]),
  );
  const rest = totalCount - hosts.length;
  return `${title}:\n${table}${rest > 0 ? `\n… and ${rest} more: coxswain hosts ls --sync ${sync}` : ""}`;
}

function sinceText(instant: string | null, wallMs: number): string {
  return instant === null ? "never" : `${formatAge(instant, wallMs)} ago`;
}

function nextTryText(instant: string | null, wallMs: number): string {
  if (instant === null) return "-";
  const inSeconds = Math.round((Date.parse(instant) - wallMs) / 1000);
  return inSeconds <= 0 ? "now" : `in ${inSeconds}s`;
}

function reasonText(host: HostView): string {
  if (host.lastError === null) return "-";
  return shorten(printable(`${host.lastError.class}: ${host.lastError.message}`), 100);
}

async function showMembers({ context, api, isJson }: CommandDeps): Promise<number> {
  const answer = await api.members();
  print(context.stdout, isJson ? JSON.stringify(answer, null, 2) : formatMembers(answer));
  return 0;
}

async function evictMember(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<object>,
): Promise<number> {
  const { slot, view } = await api.evictMember(args[0] ?? "");
  const text = `${printable(slot)} is out of the view since ${view.generation}.${view.version}.`;
  print(context.stdout, isJson ? JSON.stringify({ slot, view }, null, 2) : text);
  return 0;
}

function formatMembers({ view, members }: MembersView): string {
  const table = formatTable(
    [
      "member",
      "state",
      "beat",
      "view loaded",
      "placement",
      "weight",
      "zone",
      "partitions",
      "hosts",
      "api",
    ],
    members.map((member) => [
      `${printable(member.slot)}#${member.incarnation}`,
      printable(member.state),
      member.beat === null ? "-" : String(member.beat),
      member.viewSeen === null ? "-" : `${member.viewSeen.generation}.${member.viewSeen.version}`,
      member.placementHash === null ? "-" : printable(member.placementHash).slice(0, 12),
      String(member.weight),
      member.zone === "" ? "-" : printable(member.zone),
      String(member.partitions),
      member.hosts === null ? "?" : String(member.hosts),
      printable(member.url),
    ]),
  );
  return `View ${view.generation}.${view.version}\n${table}`;
}

async function showPlacement(
  { context, api, isJson }: CommandDeps,
  { options }: CommandInput<{ host?: string }>,
): Promise<number> {
  const answer =
    options.host === undefined ? await api.placement() : await api.placementOf(options.host);
  if (isJson) {
    print(context.stdout, JSON.stringify(answer, null, 2));
    return 0;
  }
  const view = `${answer.view.generation}.${answer.view.version}`;
  if ("host" in answer) {
    const owner = answer.owner === null ? "nobody" : printable(answer.owner);
    print(
      context.stdout,
      formatFields([
        ["host", printable(answer.host)],
        ["partition", String(answer.partition)],
        ["owner", owner],
        ["view", view],
        ["placement", printable(answer.placementHash)],
      ]),
    );
    return 0;
  }
  const rows = answer.slots.map(({ slot, partitions }) => [
    printable(slot),
    String(partitions),
    `${((100 * partitions) / answer.partitions).toFixed(1)}%`,
  ]);
  print(
    context.stdout,
    `${answer.partitions} partitions, view ${view}, placement ${printable(answer.placementHash)}\n${formatTable(["node", "partitions", "share"], rows)}`,
  );
  return 0;
}
