/**
 * Facts about the nodes: who answers here, what each says of itself, and whom each reaches.
 *
 * The list of members comes from the node at --api, and from the store where no node answers; every
 * member is then asked at the addresses that it joined with, and nowhere else.
 */
import { request } from "undici";
import { memberPath, noMemberStatus } from "../../node/peers.ts";
import type { MemberReport } from "../../membership/member.ts";
import type { View } from "../../ring/view.ts";
import type { ApiClient } from "../api-client.ts";
import { attempt, inTurns, type AttemptPorts } from "./attempt.ts";
import type { EntryFacts, Facts, MemberFacts } from "./facts.ts";

const membersAtOnce = 16;
const fleetTimeoutMs = 4_000;

export interface ApiPorts extends AttemptPorts {
  /** The API at --api. */
  readonly api: ApiClient;
  /** The same for one other address; whoever connects closes. */
  readonly connect: (url: string) => ApiClient;
}

type KnownMember = Omit<MemberFacts, "self" | "skewMs" | "fleet" | "gauges">;

export async function gatherEntry(
  ports: ApiPorts,
  addresses: readonly string[],
): Promise<EntryFacts> {
  const answer = await attempt(ports, async () => {
    const { node, cluster, view } = await ports.api.status();
    const { generation, version } = view;
    return {
      slot: node.slot,
      cluster: { id: cluster.id, partitions: cluster.partitions },
      view: { generation, version },
    };
  });
  return { addresses, answer };
}

export async function gatherMembers(
  ports: ApiPorts,
  entry: EntryFacts,
  stored: { readonly view: View | undefined; readonly members: readonly MemberReport[] },
): Promise<Pick<Facts, "members" | "membersFrom">> {
  const answer =
    entry.answer.kind === "answered" ? await attempt(ports, () => ports.api.members()) : undefined;
  if (answer?.kind === "answered") {
    const { members } = answer.value;
    return { members: await askAll(ports, members), membersFrom: "nodes" };
  }
  const known = storedMembers(stored.view, stored.members);
  return {
    members: await askAll(ports, known),
    membersFrom: known.length === 0 ? "nobody" : "store",
  };
}

/** The members of the stored view, as far as the items tell. */
function storedMembers(view: View | undefined, reports: readonly MemberReport[]): KnownMember[] {
  return (view?.members ?? []).map(({ slot, incarnation, state, url, fleetUrl, weight }) => {
    const report = reports.find((each) => each.slot === slot && each.incarnation === incarnation);
    const isRestarting = report?.intent === "restart";
    return {
      slot,
      state: isRestarting ? "restarting" : state,
      url,
      fleetUrl,
      weight,
      partitions: undefined,
      viewSeen: report?.viewSeen ?? null,
      placementHash: report?.placementHash ?? null,
    };
  });
}

async function askAll(ports: ApiPorts, known: readonly KnownMember[]): Promise<MemberFacts[]> {
  const sorted = known.toSorted((left, right) => (left.slot < right.slot ? -1 : 1));
  return inTurns(sorted, membersAtOnce, (member) => askMember(ports, member));
}

async function askMember(ports: ApiPorts, known: KnownMember): Promise<MemberFacts> {
  const { slot, state, url, fleetUrl, weight, partitions, viewSeen, placementHash } = known;
  const client = ports.connect(url);
  try {
    let skewMs: number | undefined;
    const [self, gauges, fleet] = await Promise.all([
      attempt(ports, async () => {
        const answer = await client.selfCheck();
        // Its time is taken when its probes are done, so only the way back lies between.
        skewMs = Date.parse(answer.at) - ports.clock.wallMs();
        return answer;
      }),
      attempt(ports, async () => parseGauges(await client.metrics())),
      attempt(ports, () => probeFleet(ports, fleetUrl)),
    ]);
    const item = { slot, state, url, fleetUrl, weight, partitions, viewSeen, placementHash };
    return { ...item, self, skewMs, fleet, gauges };
  } finally {
    await client.close();
  }
}

async function probeFleet(ports: AttemptPorts, fleetUrl: string): Promise<undefined> {
  const reply = await request(fleetUrl + memberPath, {
    signal: AbortSignal.any([ports.signal, AbortSignal.timeout(fleetTimeoutMs)]),
    // No agent is kept: the connection ends with the answer.
    reset: true,
  });
  await reply.body.dump();
  if (reply.statusCode === noMemberStatus) throw new Error("the process there is no member yet");
  if (reply.statusCode !== 204) throw new Error(`answered ${reply.statusCode}, not as a node does`);
  return undefined;
}

/** Gauges without labels by name: what a node reports of its alarms. */
export function parseGauges(text: string): Map<string, number> {
  const gauges = new Map<string, number>();
  for (const [, name, value] of text.matchAll(/^(coxswain_\w+) (\S+)$/gm)) {
    const number = Number(value);
    if (name !== undefined && Number.isFinite(number)) gauges.set(name, number);
  }
  return gauges;
}
