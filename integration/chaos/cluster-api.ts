/** What the suite asks of a node over HTTP; each call names the node that is asked. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { MemberView } from "../../src/node/members-view.ts";
import type { HostView } from "../../src/node/peers.ts";
import { callApi, eventually, type ApiReply } from "../test-cluster.ts";
import { apiUrlOf, hostRecords } from "./boxes.ts";
import type { FleetPlan } from "./fleet-plan.ts";

const watchPauseMs = 250;
const metricsTimeoutMs = 5_000;

type Method = "GET" | "PUT" | "POST" | "DELETE";

export interface Members {
  readonly view: { readonly generation: number; readonly version: number };
  readonly members: readonly MemberView[];
}

/** One call, whatever comes of it. */
async function callNode(
  via: string,
  method: Method,
  path: string,
  body?: unknown,
): Promise<ApiReply> {
  return callApi(apiUrlOf(via), method, path, body);
}

/** One call that must be answered with `status`. */
async function expectStatus(
  status: number,
  ...[via, method, path, body]: Parameters<typeof callNode>
): Promise<ApiReply> {
  const reply = await callNode(via, method, path, body);
  if (reply.status === status) return reply;
  const text = JSON.stringify(reply.body);
  throw new Error(`${via} ${method} ${path}: expected ${status}, got ${reply.status} ${text}`);
}

/** Publishes `content` and puts it on every host; rejects where either is not acknowledged. */
export async function rollOut(
  via: string,
  config: string,
  release: { readonly content: string; readonly digest: string },
): Promise<void> {
  const released = await callNode(via, "POST", `/v1/configs/${config}/releases`, release.content);
  // 200: the release is there already, from an attempt whose answer was lost.
  if (released.status !== 200 && released.status !== 201) {
    throw new Error(`${via} did not take the release: ${JSON.stringify(released.body)}`);
  }
  const rollout = { config, digest: release.digest, selector: "" };
  await expectStatus(201, via, "POST", "/v1/rollouts", rollout);
}

export async function registerHosts(via: string, plans: readonly FleetPlan[]): Promise<void> {
  // One call for each container: the answer comes when all of a call are stored, and a store that has
  // just started is slow.
  for (const plan of plans) {
    await expectStatus(200, via, "POST", "/v1/hosts", hostRecords(plan).join("\n"));
  }
}

export async function deleteHost(via: string, host: string): Promise<void> {
  await expectStatus(204, via, "DELETE", `/v1/hosts/${host}`);
}

export async function readMembers(via: string): Promise<Members> {
  return (await expectStatus(200, via, "GET", "/v1/members")).body as Members;
}

/** What the cluster says of each of `hosts`; those it does not know are left out. */
export async function readHosts(via: string, hosts: readonly string[]): Promise<HostView[]> {
  const views = await Promise.all(
    hosts.map(async (host) => {
      const { status, body } = await callNode(via, "GET", `/v1/hosts/${host}`);
      return status === 200 ? [body as HostView] : [];
    }),
  );
  return views.flat();
}

/** Sum over all rows of a metric that have `labels` (as they are written: `outcome="busy"`); 0 without any. */
export async function readMetric(via: string, name: string, labels = ""): Promise<number> {
  const reply = await fetch(`${apiUrlOf(via)}/metrics`, {
    signal: AbortSignal.timeout(metricsTimeoutMs),
  });
  const lines = (await reply.text()).split("\n");
  const own = lines.filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `));
  return own
    .filter((line) => line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

/** Waits until exactly `names` are active members, with one view and one placement. */
export async function settled(names: readonly string[], withinMs: number): Promise<Members> {
  return eventually(`${names.join(", ")} agree`, withinMs, async () => {
    // A node that has just started does not answer yet.
    const found = await readMembers(names[0] ?? "").catch(() => undefined);
    if (found === undefined) return undefined;
    const agreed = found.members.filter(
      ({ slot, state, viewSeen }) =>
        names.includes(slot) && state === "active" && viewSeen?.version === found.view.version,
    );
    const hashes = new Set(agreed.map(({ placementHash }) => placementHash));
    const isAll = agreed.length === names.length && found.members.length === names.length;
    return isAll && hashes.size === 1 ? found : undefined;
  });
}

/** Throws where `slot` is not an active member with partitions at any time within `ms`. */
export async function staysFor(via: string, slot: string, ms: number): Promise<void> {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs) {
    const { members } = await readMembers(via);
    const { state, partitions = 0 } = members.find((member) => member.slot === slot) ?? {};
    const isServing = state === "active" && partitions > 0;
    assert(isServing, `${slot} is ${state ?? "not in the view"} with ${partitions} partitions`);
    await sleep(watchPauseMs);
  }
}
