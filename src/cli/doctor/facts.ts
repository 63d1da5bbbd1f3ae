/**
 * What `coxswain doctor` has seen, as plain values: gathered by the shell, judged by `diagnose`.
 *
 * A fact says what was tried and what came back, never whether that is good. What was not tried is
 * a fact of its own, so that "not asked" can never look like "fine".
 */
import type { ErrorCode } from "../../kernel/errors.ts";
import type { SelfCheckAnswer } from "../api-shapes.ts";

export interface Facts {
  readonly store: StoreFacts;
  readonly entry: EntryFacts;
  /** Ascending by slot. */
  readonly members: readonly MemberFacts[];
  /** Who told which members there are. */
  readonly membersFrom: "nodes" | "store" | "nobody";
  readonly hosts: HostsFacts;
  readonly agent: AgentFacts | undefined;
  readonly local: LocalFacts;
}

export interface ViewNumber {
  readonly generation: number;
  readonly version: number;
}

/** One try: how long it took, or why it did not work. */
export type Tried<Value> =
  | { readonly kind: "answered"; readonly value: Value; readonly tookMs: number }
  | { readonly kind: "failed"; readonly reason: string; readonly code?: ErrorCode | undefined }
  | { readonly kind: "notTried" };

/** The DynamoDB actions that nodes need. */
export type StoreAction =
  | "GetItem"
  | "BatchGetItem"
  | "Query"
  | "PutItem"
  | "UpdateItem"
  | "DeleteItem";

export interface ActionFacts {
  readonly action: StoreAction;
  readonly outcome: Tried<undefined>;
}

interface ClusterFacts {
  readonly id: string;
  readonly partitions: number;
}

export type StoreFacts =
  /** No store option: only nodes are asked. */
  | { readonly kind: "notGiven" }
  /** The embedded store's folder belongs to a running process. */
  | { readonly kind: "inUse"; readonly dir: string }
  /** The embedded store's folder is not there; opening it would make it. */
  | { readonly kind: "noFolder"; readonly dir: string }
  | {
      readonly kind: "tried";
      /** For people: where the table is. */
      readonly place: string;
      /** Reading the cluster's parameters; `isTableMissing` where the table itself is not there. */
      readonly meta: Tried<ClusterFacts & { readonly schema: number }>;
      readonly isTableMissing: boolean;
      readonly view: Tried<ViewNumber | undefined>;
      readonly actions: readonly ActionFacts[];
      /** Two conditional writes of one new item: the first must be taken, the second refused. */
      readonly isConditionKept: boolean | undefined;
      /** Doctor's own item where it could not be deleted again. */
      readonly leftItem: string | undefined;
    };

/** The first node that answered at --api. */
export interface EntryFacts {
  readonly addresses: readonly string[];
  readonly answer: Tried<{
    readonly slot: string;
    readonly cluster: ClusterFacts;
    readonly view: ViewNumber;
  }>;
}

export interface MemberFacts {
  readonly slot: string;
  /** As the API says it: active, leaving, restarting, joining, probation. */
  readonly state: string;
  readonly url: string;
  readonly fleetUrl: string;
  readonly weight: number;
  /** Undefined where only the store told of the member. */
  readonly partitions: number | undefined;
  readonly viewSeen: ViewNumber | null;
  readonly placementHash: string | null;
  /** Its own answer over its api address, as seen from here. */
  readonly self: Tried<SelfCheckAnswer>;
  /** Its clock minus the clock here, measured at the middle of the request; with `self`. */
  readonly skewMs: number | undefined;
  /** Its fleet address, as seen from here. */
  readonly fleet: Tried<undefined>;
  /** Values of its gauges, by name. */
  readonly gauges: Tried<ReadonlyMap<string, number>>;
}

export type HostOutcome =
  /** The owner pushed to it just now, and it answered. */
  | { readonly kind: "answered" }
  /** The owner tried, and this is what came of it. */
  | { readonly kind: "failed"; readonly reason: string }
  /** The owner was asked, and had nothing to show in time. */
  | { readonly kind: "noResult" }
  /** The owner could not be asked. */
  | { readonly kind: "notAsked"; readonly reason: string };

export interface HostFacts {
  readonly id: string;
  readonly address: string;
  readonly owner: string | null;
  readonly outcome: HostOutcome;
}

export type HostsFacts =
  | { readonly kind: "notTried"; readonly reason: string }
  | { readonly kind: "sampled"; readonly hosts: readonly HostFacts[] };

/** The way back, from the host on which doctor runs. */
export interface AgentFacts {
  readonly host: string;
  readonly cluster: string;
  readonly listen: { readonly host: string; readonly port: number };
  /** How each of the agent's nodes took a hello that no agent sent. */
  readonly nodes: readonly { readonly url: string; readonly outcome: Tried<"same" | "other"> }[];
  /** The host's record, as a node has it; `undefined`: not registered. */
  readonly registered: Tried<{ readonly address: string } | undefined>;
}

export interface LocalFacts {
  /** Undefined where the system does not tell. */
  readonly openFilesMax: number | undefined;
}
