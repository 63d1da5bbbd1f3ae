/** Verdicts about the nodes' processes: do they answer, here and each other, and on what addresses. */
import type { EntryFacts, Facts, MemberFacts } from "./facts.ts";
import { findingsOf, isLoopbackAddress, listed, type Finding } from "./finding.ts";

const finding = findingsOf("nodes");

type NodesFacts = Pick<Facts, "entry" | "members" | "membersFrom">;

export function diagnoseNodes({ entry, members, membersFrom }: NodesFacts): Finding[] {
  const findings = [entryFinding(entry, members)];
  if (membersFrom === "nobody" || members.length === 0) return findings;
  // A slot that says it comes back has no process to ask.
  const living = members.filter(({ state }) => state !== "restarting");
  return [
    ...findings,
    apiFinding(living),
    fleetFinding(living),
    peersFinding(living),
    ...bindFindings(living),
    addressesFinding(living),
  ];
}

function entryFinding({ addresses, answer }: EntryFacts, members: readonly MemberFacts[]): Finding {
  const check = "nodes.entry";
  const places = addresses.join(", ");
  if (answer.kind === "answered") {
    const { slot, cluster } = answer.value;
    return finding("ok", check, `${slot} of cluster ${cluster.id} answered at ${places}`, "");
  }
  const seen = answer.kind === "failed" ? `${places}: ${answer.reason}` : places;
  const other = members.find(({ self }) => self.kind === "answered");
  if (other !== undefined) {
    const advice = `Ask a node that answers: --api ${other.url} (the store has its address).`;
    return finding("warn", check, seen, advice);
  }
  const advice =
    "Start a node (`coxswain node`), or give the address of one with --api or COXSWAIN_API.";
  return finding("fail", check, seen, advice);
}

/** Whether any other member, or this machine, got an answer from the member's fleet address. */
function isAlive(member: MemberFacts, members: readonly MemberFacts[]): boolean {
  return (
    member.self.kind === "answered" ||
    member.fleet.kind === "answered" ||
    probesOf(members).some(({ to, outcome }) => to === member.slot && outcome === "answered")
  );
}

function probesOf(members: readonly MemberFacts[]) {
  return members.flatMap(({ slot, self }) =>
    self.kind === "answered"
      ? self.value.peers.map((peer) => ({ from: slot, to: peer.slot, ...peer }))
      : [],
  );
}

function apiFinding(members: readonly MemberFacts[]): Finding {
  const check = "nodes.api";
  const silent = members.filter(({ self }) => self.kind !== "answered");
  if (silent.length === 0) {
    const seen = `${members.length} of ${members.length} answer here: ${listed(members.map(({ slot, url }) => `${slot} at ${url}`))}`;
    return finding("ok", check, seen, "");
  }
  const seen = `no answer from ${listed(
    silent.map(({ slot, url, self }) => `${slot} at ${url} (${reasonOf(self)})`),
  )}`;
  if (silent.every(({ self }) => self.kind === "failed" && self.code === "NOT_FOUND")) {
    const advice = "They run a version without this check: finish the upgrade, then ask again.";
    return finding("warn", check, seen, advice);
  }
  const dead = silent.filter((member) => !isAlive(member, members));
  if (dead.length === 0) {
    const advice = "They run: let this machine reach the api port, or correct their --api-url.";
    return finding("warn", check, seen, advice);
  }
  const slots = listed(dead.map(({ slot }) => slot));
  const advice = `Start ${slots} again under the same slot; one that is gone for good is evicted by the others, or at once by \`coxswain members evict SLOT\`.`;
  return finding("fail", check, seen, advice);
}

function reasonOf(tried: MemberFacts["self"] | MemberFacts["fleet"]): string {
  return tried.kind === "failed" ? tried.reason : "not asked";
}

function fleetFinding(members: readonly MemberFacts[]): Finding {
  const check = "nodes.fleet";
  const silent = members.filter(({ fleet }) => fleet.kind !== "answered");
  if (silent.length === 0) {
    const seen = `${members.length} of ${members.length} fleet addresses answer here`;
    return finding("ok", check, seen, "");
  }
  const seen = `no answer from ${listed(
    silent.map(({ slot, fleetUrl, fleet }) => `${slot} at ${fleetUrl} (${reasonOf(fleet)})`),
  )}`;
  const probes = probesOf(members);
  const isReachedByPeers = silent.every(({ slot }) =>
    probes.some(({ to, outcome }) => to === slot && outcome === "answered"),
  );
  if (isReachedByPeers) {
    const advice = "Members reach them. Only if agents live in this network: open the fleet port.";
    return finding("warn", check, seen, advice);
  }
  const advice =
    "Start the node, open its fleet port (7401) to nodes and hosts, or correct its --fleet-url.";
  return finding("fail", check, seen, advice);
}

function peersFinding(members: readonly MemberFacts[]): Finding {
  const check = "nodes.peers";
  const probes = probesOf(members);
  const asked = members.filter(({ self }) => self.kind === "answered");
  if (asked.length === 0) {
    const advice = "Needs a node that answers on its api address.";
    return finding("skipped", check, "no node could be asked whom it reaches", advice);
  }
  if (probes.length === 0) {
    return finding("ok", check, "one member: there is no other to reach", "");
  }
  const known = new Map(members.map((member) => [member.slot, member]));
  const failed = probes.filter(({ to, outcome }) => outcome !== "answered" && known.has(to));
  if (failed.length === 0) {
    return finding(
      "ok",
      check,
      `${probes.length} of ${probes.length} ways between members work`,
      "",
    );
  }
  const seen = `${failed.length} of ${probes.length} ways between members do not work: ${listed(
    failed.map(({ from, to, fleetUrl, outcome }) => {
      const how = outcome === "refused" ? "refused" : "no answer";
      return `${from} to ${to} at ${fleetUrl} (${how})`;
    }),
  )}`;
  const isDeadOnly = failed.every(({ to }) => {
    const member = known.get(to);
    return member !== undefined && !isAlive(member, members);
  });
  const advice = isDeadOnly
    ? "Start the node that does not answer; see above."
    : "Open the fleet port (7401) between all nodes, or correct --fleet-url: hints, hellos and probes go this way.";
  return finding("fail", check, seen, advice);
}

/** The product's own warning at start, for whoever did not read the log. */
function bindFindings(members: readonly MemberFacts[]): Finding[] {
  const check = "nodes.binds";
  const asked = members.flatMap(({ self }) => (self.kind === "answered" ? [self.value] : []));
  if (asked.length === 0) return [];
  const open = asked.filter(
    ({ apiHost, fleetHost }) => !isLoopbackAddress(apiHost) || !isLoopbackAddress(fleetHost),
  );
  if (open.length === 0) return [finding("ok", check, "all listeners are bound to loopback", "")];
  const seen = `listeners without authentication beyond loopback: ${listed(
    open.map(({ slot, apiHost, fleetHost }) => `${slot} (api ${apiHost}, fleet ${fleetHost})`),
  )}`;
  const advice =
    'Whoever reaches them can steer the fleet: see that only operators reach api and only nodes and hosts reach fleet (docs/operations.md, "Trust").';
  return [finding("warn", check, seen, advice)];
}

/** A loopback address that somebody on another machine is given leads that one to itself. */
function addressesFinding(members: readonly MemberFacts[]): Finding {
  const check = "nodes.addresses";
  const local = members.filter(({ fleetUrl }) => isLoopbackAddress(fleetUrl));
  const unnamed = members.filter(({ url, fleetUrl }) =>
    [url, fleetUrl].some((address) => /\/\/(0\.0\.0\.0|\[::\])[:/]?/.test(address)),
  );
  const shared = members.filter(
    ({ slot, fleetUrl, self }) =>
      members.some((other) => other.slot !== slot && other.fleetUrl === fleetUrl) ||
      (self.kind === "answered" && self.value.slot !== slot),
  );
  if (shared.length > 0) {
    const seen = `the addresses of ${listed(shared.map(({ slot }) => slot))} lead to another node`;
    const advice =
      "Give each node an address of its own with --api-host and --fleet-host, or --api-url and --fleet-url.";
    return finding("fail", check, seen, advice);
  }
  if (unnamed.length > 0) {
    const seen = `${listed(unnamed.map(({ slot }) => slot))} joined with an address that names no machine`;
    return finding("fail", check, seen, "Give --api-url and --fleet-url beside a bind to 0.0.0.0.");
  }
  if (local.length > 0 && local.length < members.length) {
    const seen = `${listed(local.map(({ slot, fleetUrl }) => `${slot} (${fleetUrl})`))} joined with a loopback address, others did not`;
    const advice = "Give --fleet-host or --fleet-url an address that the other machines reach.";
    return finding("fail", check, seen, advice);
  }
  const seen =
    local.length === 0
      ? "every member has an address beyond its own machine"
      : `every member has a loopback address: ${members.length === 1 ? "a node" : "nodes"} of one machine`;
  return finding("ok", check, seen, "");
}
