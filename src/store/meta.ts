/**
 * The cluster's meta item: what was decided once, at `coxswain init`, for the life of the table.
 *
 * Partitions and hash decide which host belongs where, so a node that runs with others would own
 * other hosts than its peers believe: it must refuse to start. The item is written once, on the
 * condition that there is none, and never changed.
 */
import type { Clock } from "../kernel/clock.ts";
import { CoxswainError } from "../kernel/errors.ts";
import { randomId, type Random } from "../kernel/random.ts";
import { idPattern, limits } from "../protocol/limits.ts";
import { keys, type Attributes, type Store } from "./store.ts";

/** Version of the table's layout that this program reads and writes. */
const schema = 1;
/** The hash and placement of this program; docs/placement.md defines them. */
const hash = "coxswain-1";

export interface Meta {
  readonly schema: number;
  /** Tells clusters apart; hosts refuse pushes of another. */
  readonly clusterId: string;
  readonly partitions: number;
  readonly hash: string;
  /** ISO time of the wall clock at `init`, for people only. */
  readonly createdAt: string;
}

/**
 * Writes the meta item, or takes the one that is there if it agrees with `wanted`. Without
 * `clusterId` a new cluster gets a random one and an existing one keeps its own.
 * Throws OPTION_INVALID, CLUSTER_MISMATCH, CLUSTER_SCHEMA_UNSUPPORTED, STORE_UNKNOWN_OUTCOME.
 */
export async function initialiseCluster(
  store: Store,
  wanted: { readonly partitions: number; readonly clusterId?: string | undefined },
  ports: { readonly clock: Pick<Clock, "wallMs">; readonly random: Random },
): Promise<{ readonly meta: Meta; readonly isNew: boolean }> {
  checkWanted(wanted);
  const attributes = {
    schema,
    clusterId: wanted.clusterId ?? randomId(ports.random),
    partitions: wanted.partitions,
    hash,
    createdAt: new Date(ports.clock.wallMs()).toISOString(),
  };
  const outcome = await store.put({ ...keys.meta, attributes }, [{ kind: "absent" }]);
  if (outcome.kind === "written") return { meta: attributes, isNew: true };
  const found = await store.get(keys.meta);
  if (found === undefined) {
    throw new CoxswainError(
      "STORE_UNKNOWN_OUTCOME",
      "No answer to the write of the cluster's parameters, and they are not there",
      { cause: outcome.kind === "unknown" ? outcome.cause : undefined },
    );
  }
  const meta = decodeMeta(found.attributes);
  checkMeta(meta, { ...wanted, hash });
  // After a lost answer the item may be this call's own: nobody else has its id and time.
  const isOwn = meta.clusterId === attributes.clusterId && meta.createdAt === attributes.createdAt;
  return { meta, isNew: outcome.kind === "unknown" && isOwn };
}

/** Reads the meta item. Throws CLUSTER_NOT_INITIALISED, CLUSTER_SCHEMA_UNSUPPORTED, STORE_CORRUPT. */
export async function readMeta(store: Store): Promise<Meta> {
  const found = await store.get(keys.meta);
  if (found === undefined) {
    throw new CoxswainError(
      "CLUSTER_NOT_INITIALISED",
      "Expected the table to hold a cluster's parameters, found none",
    );
  }
  return decodeMeta(found.attributes);
}

/** Throws CLUSTER_MISMATCH where a parameter is given and differs from the cluster's. */
export function checkMeta(
  meta: Meta,
  wanted: {
    readonly partitions?: number | undefined;
    readonly hash?: string | undefined;
    readonly clusterId?: string | undefined;
  },
): void {
  for (const name of ["partitions", "hash", "clusterId"] as const) {
    const given = wanted[name];
    if (given === undefined || given === meta[name]) continue;
    throw new CoxswainError(
      "CLUSTER_MISMATCH",
      `Expected \`${name}\` to be ${meta[name]} as the table was made with, got ${given}`,
      { details: { field: name, found: meta[name], wanted: given } },
    );
  }
}

function isPartitionCount(partitions: number): boolean {
  const isPowerOfTwo = Number.isInteger(Math.log2(partitions));
  return isPowerOfTwo && partitions >= limits.partitionsMin && partitions <= limits.partitionsMax;
}

function isClusterId(clusterId: string): boolean {
  return idPattern.test(clusterId) && clusterId.length <= limits.hostIdCharsMax;
}

function checkWanted(wanted: { partitions: number; clusterId?: string | undefined }): void {
  const { partitions, clusterId } = wanted;
  const { partitionsMin, partitionsMax, hostIdCharsMax } = limits;
  if (!isPartitionCount(partitions)) {
    throw new CoxswainError(
      "OPTION_INVALID",
      `Expected \`partitions\` to be a power of two from ${partitionsMin} to ${partitionsMax}, got ${partitions}`,
      { details: { field: "partitions", value: partitions } },
    );
  }
  if (clusterId === undefined || isClusterId(clusterId)) return;
  throw new CoxswainError(
    "OPTION_INVALID",
    `Expected \`clusterId\` to be 1 to ${hostIdCharsMax} letters, digits, \`.\`, \`_\` or \`-\`, not ending in a sign, got ${clusterId}`,
    { details: { field: "clusterId", value: clusterId } },
  );
}

function decodeMeta(attributes: Attributes): Meta {
  const { schema: found, clusterId, partitions, hash: hashId, createdAt } = attributes;
  if (found !== schema) {
    throw new CoxswainError(
      "CLUSTER_SCHEMA_UNSUPPORTED",
      `Expected the table to have schema ${schema}, got ${String(found)}`,
      { details: { expected: schema, found } },
    );
  }
  if (
    typeof clusterId === "string" &&
    isClusterId(clusterId) &&
    typeof partitions === "number" &&
    isPartitionCount(partitions) &&
    typeof hashId === "string" &&
    typeof createdAt === "string"
  ) {
    return { schema, clusterId, partitions, hash: hashId, createdAt };
  }
  throw new CoxswainError(
    "STORE_CORRUPT",
    `Expected ${keys.meta.pk}/${keys.meta.sk} to have clusterId, partitions, hash and createdAt as \`init\` writes them, got ${Object.keys(attributes).join(", ")}`,
  );
}
