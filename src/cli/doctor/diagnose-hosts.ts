/** Verdicts about hosts: do owners reach a sample of them, and do hosts reach nodes. */
import type { AgentFacts, Facts, HostFacts, MemberFacts } from "./facts.ts";
import { findingsOf, isLoopbackAddress, listed, type Finding } from "./finding.ts";

const finding = findingsOf("hosts");

export function diagnoseHosts({ hosts, members, agent }: Facts): Finding[] {
  const way = agent === undefined ? [] : diagnoseAgent(agent);
  if (hosts.kind === "notTried") {
    const seen = `no host was tried: ${hosts.reason}`;
    const advice = "Needs a node that answers at --api, and --hosts above 0.";
    return [finding("skipped", "hosts.reached", seen, advice), ...way];
  }
  if (hosts.hosts.length === 0) {
    const advice = "Register them: coxswain hosts import FILE.";
    return [finding("skipped", "hosts.reached", "no hosts are registered", advice), ...way];
  }
  return [
    reachedFinding(hosts.hosts),
    ...(agent === undefined ? [wayBackFinding(hosts.hosts, members)] : way),
  ];
}

function reachedFinding(hosts: readonly HostFacts[]): Finding {
  const check = "hosts.reached";
  const reached = hosts.filter(({ outcome }) => outcome.kind === "answered");
  const missed = hosts.filter((host) => !reached.includes(host));
  const owners = new Set(hosts.map(({ owner }) => owner));
  const of = `${reached.length} of ${hosts.length} sampled hosts answered their owners just now (${owners.size} ${owners.size === 1 ? "owner" : "owners"})`;
  if (missed.length === 0) return finding("ok", check, of, "");
  const seen = `${of}; not ${listed(missed.map(missText))}`;
  if (reached.length === 0) {
    const advice =
      "Check the addresses (`coxswain hosts ls`), that agents run, and that nodes may connect to their ports.";
    return finding("fail", check, seen, advice);
  }
  const lost = [...owners].filter((owner) =>
    isCutOff(hosts.filter((host) => host.owner === owner)),
  );
  if (lost.length > 0) {
    const names = listed(lost.map((owner) => owner ?? "nobody"));
    const advice = `Others reach theirs: let ${names} connect to the hosts' ports (route, security group).`;
    return finding("fail", check, seen, advice);
  }
  const advice =
    "See `coxswain hosts ls --reachability unreachable`; a dead host is no fault of the deployment.";
  return finding("warn", check, seen, advice);
}

/** One dead host is a dead host; several and no living one is a way that is closed. */
function isCutOff(hosts: readonly HostFacts[]): boolean {
  return hosts.length > 1 && hosts.every(({ outcome }) => outcome.kind !== "answered");
}

function missText({ id, address, owner, outcome }: HostFacts): string {
  const why = {
    answered: "answered",
    noResult: "no answer in time",
    failed: outcome.kind === "failed" ? outcome.reason : "",
    notAsked: outcome.kind === "notAsked" ? `owner not asked: ${outcome.reason}` : "",
  }[outcome.kind];
  return `${id} at ${address} from ${owner ?? "nobody"} (${why})`;
}

function wayBackFinding(hosts: readonly HostFacts[], members: readonly MemberFacts[]): Finding {
  const check = "hosts.hello";
  const isRemote = hosts.some(({ address }) => !isLoopbackAddress(address));
  const local = members.filter(({ fleetUrl }) => isLoopbackAddress(fleetUrl));
  if (isRemote && local.length > 0) {
    const seen = `hosts are elsewhere, and ${listed(local.map(({ slot, fleetUrl }) => `${slot} listens at ${fleetUrl}`))}`;
    const advice =
      "Hosts cannot say hello to a loopback address: give --fleet-host or --fleet-url.";
    return finding("warn", check, seen, advice);
  }
  if (!isRemote && local.length === members.length) {
    return finding("ok", check, "hosts and nodes are on one machine", "");
  }
  const seen = "whether hosts reach nodes cannot be seen from here";
  const advice =
    "Run it on a host: coxswain doctor --agent-config FILE. Without hellos a host that returns waits for its next try.";
  return finding("skipped", check, seen, advice);
}

function diagnoseAgent({ host, cluster, listen, nodes, registered }: AgentFacts): Finding[] {
  return [helloFinding(cluster, nodes), registeredFinding(host, listen, registered)];
}

function helloFinding(cluster: string, nodes: AgentFacts["nodes"]): Finding {
  const check = "hosts.hello";
  if (nodes.length === 0) {
    const seen = "the agent has no `nodes`: it never says hello";
    const advice =
      "List two or three fleet addresses, so that the host is synced at once when it returns.";
    return finding("warn", check, seen, advice);
  }
  const others = nodes.filter(
    ({ outcome }) => outcome.kind === "answered" && outcome.value === "other",
  );
  if (others.length > 0) {
    const seen = `${listed(others.map(({ url }) => url))}: a node of another cluster than ${cluster}`;
    return finding("fail", check, seen, "Correct `cluster` or `nodes` in the agent's file.");
  }
  const silent = nodes.flatMap(({ url, outcome }) =>
    outcome.kind === "failed" ? [`${url} (${outcome.reason})`] : [],
  );
  if (silent.length === 0) {
    const seen = `${nodes.length} of ${nodes.length} of the agent's nodes answer from this host`;
    return finding("ok", check, seen, "");
  }
  const isNone = silent.length === nodes.length;
  const advice = "Correct `nodes` in the agent's file, or let hosts reach the fleet port (7401).";
  return finding(isNone ? "fail" : "warn", check, `no answer from ${listed(silent)}`, advice);
}

function registeredFinding(
  host: string,
  listen: AgentFacts["listen"],
  registered: AgentFacts["registered"],
): Finding {
  const check = "hosts.registered";
  if (registered.kind !== "answered") {
    const why = registered.kind === "failed" ? registered.reason : "not asked";
    const advice =
      "Give --api an address that this host reaches, or look on an operator's machine.";
    return finding("skipped", check, `whether ${host} is registered is unknown: ${why}`, advice);
  }
  if (registered.value === undefined) {
    const advice = `Register it: coxswain hosts add ${host} http://ADDRESS:${listen.port}`;
    return finding("fail", check, `${host} is not in the inventory`, advice);
  }
  const { address } = registered.value;
  const url = URL.parse(address);
  const port = Number(url?.port || (url?.protocol === "https:" ? 443 : 80));
  const isReachable = !isLoopbackAddress(listen.host) || isLoopbackAddress(address);
  if (port === listen.port && isReachable) {
    return finding("ok", check, `${host} is registered at ${address}`, "");
  }
  const seen = `${host} is registered at ${address}, its agent listens on ${listen.host}:${listen.port}`;
  const advice =
    "Nodes connect to the registered address: correct it (`coxswain hosts add`) or the agent's `listen`, unless something forwards.";
  return finding(isReachable ? "warn" : "fail", check, seen, advice);
}
