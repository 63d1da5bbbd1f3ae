/** Hosts in packs, for tests: one partition of a store in memory, and what to pick of its calls. */
import { MemoryStore, type StoreCall } from "../store/memory-store.ts";
import { keys, type Key } from "../store/store.ts";
import { packIndexOf } from "./host-pack.ts";
import { parseHostId, type HostInput } from "./host.ts";
import { HostStore, type OnExisting } from "./hosts.ts";
import { importHosts } from "./import-hosts.ts";
import type { ImportOutcome } from "./import-plan.ts";

export const partition = 3;
export const digest = `sha256:${"1".repeat(64)}`;
export const h1 = parseHostId("h1");

export function create() {
  const store = new MemoryStore();
  return { store, hosts: new HostStore({ store, partitionOf: () => partition }) };
}

export const input = (id: string, port: number, more: Partial<HostInput> = {}): HostInput => ({
  id: parseHostId(id),
  address: `http://127.0.0.1:${port}`,
  labels: {},
  ...more,
});

export async function imported(
  hosts: HostStore,
  inputs: readonly HostInput[],
  onExisting: OnExisting = "update",
): Promise<string[]> {
  const lines = inputs.map((each, at) => ({ line: at + 1, input: each }));
  return (await importHosts(hosts, lines, { onExisting })).map(wordOf);
}

const wordOf = (each: ImportOutcome) =>
  each.outcome === "failed" ? each.error.code : each.outcome;

export const onPack =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk.startsWith("hosts#");
export const onOwn =
  (wanted: StoreCall) =>
  (call: StoreCall, { sk }: Key) =>
    call === wanted && sk.startsWith("host#");

export const keysOf = (store: MemoryStore) => store.dump().map(({ sk }) => sk);
export const packOf = (id: string) => keys.pack(partition, packIndexOf(id)).sk;
