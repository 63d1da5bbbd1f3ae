/**
 * Gathers every fact that doctor judges: store, nodes, hosts and this machine, within one time for all.
 *
 * The store goes first and beside the nodes' first answer, because it knows the members where no node
 * answers. Nothing is written but doctor's own item, and nothing is sent but to the addresses that
 * the options, the members and the agent's file name.
 */
import { readOpenFilesMax } from "../../kernel/open-files.ts";
import type { Facts } from "./facts.ts";
import { gatherAgent, gatherHosts } from "./gather-hosts.ts";
import { gatherEntry, gatherMembers, type ApiPorts } from "./gather-members.ts";
import { gatherStore, type OpenedStore } from "./gather-store.ts";

export interface GatherPlan {
  readonly store: OpenedStore;
  readonly addresses: readonly string[];
  readonly hostsMax: number;
  readonly agentConfig: string | undefined;
  /** Name of doctor's own item in the table. */
  readonly itemName: string;
}

export async function gather(ports: ApiPorts, plan: GatherPlan): Promise<Facts> {
  const [stored, entry, openFilesMax] = await Promise.all([
    gatherStore(ports, plan.store, plan.itemName),
    gatherEntry(ports, plan.addresses),
    readOpenFilesMax(),
  ]);
  const isAnswering = entry.answer.kind === "answered";
  const [known, hosts, agent] = await Promise.all([
    gatherMembers(ports, entry, stored),
    isAnswering
      ? gatherHosts(ports, plan.hostsMax)
      : ({ kind: "notTried", reason: "no node answers at --api" } as const),
    plan.agentConfig === undefined ? undefined : gatherAgent(ports, plan.agentConfig),
  ]);
  return { store: stored.facts, entry, ...known, hosts, agent, local: { openFilesMax } };
}
