/** A deployment in which all is well, and parts of it to put something wrong into. */
import type { Facts, HostFacts, MemberFacts, StoreFacts } from "./facts.ts";

const view = { generation: 1, version: 17 };
const cluster = { id: "prod", partitions: 1024 };
const actionNames = [
  "PutItem",
  "UpdateItem",
  "GetItem",
  "BatchGetItem",
  "Query",
  "DeleteItem",
] as const;

export const worked = { kind: "answered", value: undefined, tookMs: 3 } as const;
export const refused = { kind: "failed", reason: "connection refused" } as const;

export type TriedStore = Extract<StoreFacts, { kind: "tried" }>;

export function storeFacts(change: Partial<TriedStore> = {}): TriedStore {
  return {
    kind: "tried",
    place: "table coxswain at AWS",
    meta: { kind: "answered", value: { ...cluster, schema: 1 }, tookMs: 12 },
    isTableMissing: false,
    view: { kind: "answered", value: view, tookMs: 3 },
    actions: actionNames.map((action) => ({ action, outcome: worked })),
    isConditionKept: true,
    leftItem: undefined,
    ...change,
  };
}

type SelfChange = Partial<Extract<MemberFacts["self"], { kind: "answered" }>["value"]>;

/** Node `number` of three; `self` changes what it says of itself. */
export function member(
  number: number,
  change: Partial<MemberFacts> = {},
  self: SelfChange = {},
): MemberFacts {
  const slot = `node-${number}`;
  return {
    slot,
    state: "active",
    url: `http://10.0.0.${number}:7400`,
    fleetUrl: `http://10.0.0.${number}:7401`,
    weight: 1,
    partitions: number === 1 ? 342 : 341,
    viewSeen: view,
    placementHash: "sha256:aa",
    self: {
      kind: "answered",
      tookMs: 5,
      value: {
        slot,
        version: "1.0.0",
        at: "2026-01-02T00:00:00.000Z",
        openFilesMax: 65_536,
        socketsMax: 4_096,
        linksMax: 10_000,
        apiHost: "127.0.0.1",
        fleetHost: "127.0.0.1",
        peers: [1, 2, 3]
          .filter((other) => other !== number)
          .map((other) => ({
            slot: `node-${other}`,
            fleetUrl: `http://10.0.0.${other}:7401`,
            outcome: "answered",
          })),
        ...self,
      },
    },
    skewMs: number,
    fleet: worked,
    gauges: {
      kind: "answered",
      tookMs: 2,
      value: new Map([
        ["coxswain_store_reachable", 1],
        ["coxswain_eviction_held", 0],
      ]),
    },
    ...change,
  };
}

export function host(number: number, change: Partial<HostFacts> = {}): HostFacts {
  return {
    id: `host-${number}`,
    address: `http://10.1.0.${number}:7500`,
    owner: `node-${(number % 3) + 1}`,
    outcome: { kind: "answered" },
    ...change,
  };
}

export function healthy(change: Partial<Facts> = {}): Facts {
  return {
    store: storeFacts(),
    entry: {
      addresses: ["http://10.0.0.1:7400"],
      answer: { kind: "answered", value: { slot: "node-1", cluster, view }, tookMs: 4 },
    },
    members: [member(1), member(2), member(3)],
    membersFrom: "nodes",
    hosts: { kind: "sampled", hosts: [host(1), host(2), host(3)] },
    agent: {
      host: "host-1",
      cluster: "prod",
      listen: { host: "10.1.0.1", port: 7500 },
      nodes: [{ url: "http://10.0.0.1:7401", outcome: { ...worked, value: "same" } }],
      registered: { ...worked, value: { address: "http://10.1.0.1:7500" } },
    },
    local: { openFilesMax: 65_536 },
    ...change,
  };
}
