/**
 * What an item is, by its key: the label under which consumed capacity is counted.
 *
 * Capacity is what the store costs, and it is worth money only where it can be told which part of
 * Coxswain spends it: beats, views, the rules' poll, the partitions' heads, checkpoints. The kinds
 * follow `keys` in store.ts; a key that is none of them is `other`, never an error.
 */
import type { Key } from "./store.ts";

export type ItemKind =
  | "meta"
  | "view"
  | "fleet"
  | "member"
  | "head"
  | "host"
  | "checkpoint"
  | "release"
  | "rollout"
  | "audit"
  | "table"
  | "other";

/** For a query `sk` is the prefix that is asked for. */
export function itemKindOf({ pk, sk }: Key): ItemKind {
  switch (pk) {
    case "cluster":
      return sk === "view" || sk === "fleet" || sk === "meta" ? sk : "other";
    case "member":
    case "rollout":
      return pk;
    case "config":
      return "release";
    default:
  }
  switch (pk.slice(0, pk.indexOf("#") + 1)) {
    case "part#":
      return kindInPartition(sk);
    case "config#":
    case "content#":
      return "release";
    case "audit#":
      return "audit";
    default:
      return "other";
  }
}

function kindInPartition(sk: string): ItemKind {
  if (sk === "head") return "head";
  // Hosts alone and in packs, and the prefix of both.
  if (sk.startsWith("host")) return "host";
  return sk.startsWith("status#") ? "checkpoint" : "other";
}
