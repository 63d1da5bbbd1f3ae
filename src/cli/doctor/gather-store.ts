/**
 * Facts about the store: every call that nodes make, tried on an item of doctor's own.
 *
 * The item has a random name under pk `doctor`, which nothing else reads, and is deleted whatever
 * happened before. An action that fails does not end the others: whoever mends a policy wants to
 * see all that is missing at once. Only where nothing answers at all the rest is left out.
 */
import { access } from "node:fs/promises";
import { CoxswainError, isCoxswainError } from "../../kernel/errors.ts";
import { readMembers, type MemberReport } from "../../membership/member.ts";
import { readView } from "../../membership/view-store.ts";
import type { StoreOptions } from "../../node/options.ts";
import type { View } from "../../ring/view.ts";
import { readMeta, type Meta } from "../../store/meta.ts";
import type { Key, Store, WriteOutcome } from "../../store/store.ts";
import { attempt, type AttemptPorts } from "./attempt.ts";
import type { ActionFacts, StoreAction, StoreFacts, Tried } from "./facts.ts";

/** A store that doctor may try, or what kept it from opening one. */
export type OpenedStore =
  | {
      readonly kind: "opened";
      readonly store: Store;
      readonly place: string;
      close(): Promise<void>;
    }
  | Extract<StoreFacts, { kind: "notGiven" | "inUse" | "noFolder" }>;

export interface StoreSeen {
  readonly facts: StoreFacts;
  readonly view: View | undefined;
  readonly members: readonly MemberReport[];
}

/** Opens the store of `options`. Throws OPTION_INVALID. */
export async function openForDoctor(options: StoreOptions): Promise<OpenedStore> {
  const { connectStore } = await import("../../api/connect-store.ts");
  const isEmbedded = options.store === "embedded";
  const dir = options.storeDir;
  if (isEmbedded && !(await exists(dir))) return { kind: "noFolder", dir };
  try {
    const connected = await connectStore(options);
    return {
      kind: "opened",
      store: connected.store,
      place: isEmbedded ? `table ${options.storeTable} in folder ${dir}` : connected.place,
      close: () => connected.close(),
    };
  } catch (error) {
    if (isEmbedded && isFolderInUse(error)) return { kind: "inUse", dir };
    throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

function isFolderInUse(error: unknown): boolean {
  return isCoxswainError(error, "OPTION_INVALID") && error.message.includes("no other store uses");
}

/** `itemName`: the name of doctor's own item, unique to this run. */
export async function gatherStore(
  ports: AttemptPorts,
  opened: OpenedStore,
  itemName: string,
): Promise<StoreSeen> {
  if (opened.kind !== "opened") return { facts: opened, view: undefined, members: [] };
  const { store, place } = opened;
  const meta = await tryMeta(ports, store);
  const { isTableMissing, isAnswering } = whatMetaTells(meta);
  const notTried = { kind: "notTried" } as const;
  if (!isAnswering) {
    const facts = {
      kind: "tried",
      place,
      meta: meta.tried,
      isTableMissing,
      view: notTried,
    } as const;
    const untried = { actions: [], isConditionKept: undefined, leftItem: undefined };
    return { facts: { ...facts, ...untried }, view: undefined, members: [] };
  }
  const view = await attempt(ports, () => readView(store));
  const members = await attempt(ports, () => readMembers(store));
  const tried = await tryActions(ports, store, { pk: "doctor", sk: itemName });
  return {
    facts: { kind: "tried", place, meta: meta.tried, isTableMissing, view, ...tried },
    view: view.kind === "answered" ? view.value : undefined,
    members: members.kind === "answered" ? [...members.value.members.values()] : [],
  };
}

interface MetaTried {
  readonly tried: Tried<{ id: string; partitions: number; schema: number }>;
  readonly error: unknown;
}

async function tryMeta(ports: AttemptPorts, store: Store): Promise<MetaTried> {
  let error: unknown;
  const tried = await attempt(ports, async () => {
    const meta = await readMeta(store).catch((caught: unknown) => {
      error = caught;
      throw caught;
    });
    return clusterOf(meta);
  });
  return { tried, error };
}

function clusterOf({ clusterId, partitions, schema }: Meta) {
  return { id: clusterId, partitions, schema };
}

/** A table without parameters, or with ones this version cannot read, is a table that answers. */
function whatMetaTells({ tried, error }: MetaTried) {
  const isTableMissing =
    isCoxswainError(error, "CLUSTER_NOT_INITIALISED") &&
    error.details["reason"] === "ResourceNotFoundException";
  const hasContent =
    isCoxswainError(
      error,
      "CLUSTER_NOT_INITIALISED",
      "CLUSTER_SCHEMA_UNSUPPORTED",
      "STORE_CORRUPT",
    ) && !isTableMissing;
  // With no right to read there may still be others: the policy is shown whole.
  const isDenied = isCoxswainError(error, "STORE_DENIED", "STORE_THROTTLED");
  return { isTableMissing, isAnswering: tried.kind === "answered" || hasContent || isDenied };
}

async function tryActions(ports: AttemptPorts, store: Store, key: Key) {
  const actions: ActionFacts[] = [];
  const run = async <Value>(action: StoreAction, call: () => Promise<Value>) => {
    const tried = await attempt(ports, call);
    const isFirst = !actions.some((known) => known.action === action);
    const outcome = tried.kind === "answered" ? { ...tried, value: undefined } : tried;
    if (isFirst) actions.push({ action, outcome });
    return tried.kind === "answered" ? tried.value : undefined;
  };
  const put = () =>
    store.put({ ...key, attributes: { by: "coxswain doctor" } }, [{ kind: "absent" }]);
  let isConditionKept: boolean | undefined;
  let leftItem: string | undefined;
  try {
    const first = await run("PutItem", async () => answered(await put()));
    if (first === "written") isConditionKept = (await run("PutItem", put))?.kind === "refused";
    const change = { set: { tries: 1 } };
    await run("UpdateItem", async () => answered(await store.update(key, change)));
    await run("GetItem", () => store.get(key));
    await run("BatchGetItem", () => store.getMany([key]));
    await run("Query", () => store.query(key.pk, { limit: 1 }));
  } finally {
    // Not ended with the other tries: the item must go, and the call has its own deadline.
    const unbounded = { ...ports, signal: new AbortController().signal };
    const deleted = await attempt(unbounded, async () => answered(await store.delete(key)));
    const outcome = deleted.kind === "answered" ? { ...deleted, value: undefined } : deleted;
    actions.push({ action: "DeleteItem", outcome });
    const wasWritten = actions.some(
      ({ action, outcome: { kind } }) => /^(Put|Update)Item$/.test(action) && kind === "answered",
    );
    if (deleted.kind !== "answered" && wasWritten) leftItem = `${key.pk} / ${key.sk}`;
  }
  return { actions, isConditionKept, leftItem };
}

/** No answer to a write is a failure here: nobody can rely on it. */
function answered(outcome: WriteOutcome): WriteOutcome["kind"] {
  if (outcome.kind !== "unknown") return outcome.kind;
  throw new CoxswainError("STORE_UNKNOWN_OUTCOME", `No answer: ${outcome.cause.message}`);
}
