/**
 * Facts about hosts: a sample, spread over the owners, that each owner is asked to sync now; and the
 * way back, for the host on which doctor runs.
 *
 * A sync asked for is the one that the sweep does anyway: it brings a host nothing that its owner
 * would not bring it. The way back is tried with an empty hello, which a node refuses after it has
 * compared the cluster and before it looks for a host: it wakes nobody.
 */
import { request } from "undici";
import { readAgentConfigFile, resolveAgentConfig } from "../../agent/config-file.ts";
import { isCoxswainError } from "../../kernel/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { helloPath, syncHeaders } from "../../protocol/sync.ts";
import type { ApiClient } from "../api-client.ts";
import { errorBodySchema, type HostView } from "../api-shapes.ts";
import { attempt, type AttemptPorts } from "./attempt.ts";
import type { AgentFacts, HostFacts, HostOutcome, HostsFacts, Tried } from "./facts.ts";

/** Above the default `pushDeadline` of 5 s: a host that does not answer has failed by then. */
const resultWithinMs = 7_000;
const pollMs = 250;
const helloTimeoutMs = 2_000;

export interface HostPorts extends AttemptPorts {
  readonly api: ApiClient;
}

/** `count` hosts at most; 0 leaves them out. */
export async function gatherHosts(ports: HostPorts, count: number): Promise<HostsFacts> {
  if (count === 0) return { kind: "notTried", reason: "--hosts 0" };
  const page = await attempt(ports, () => ports.api.hosts({ limit: limits.pageHostsMax }));
  if (page.kind !== "answered") {
    return { kind: "notTried", reason: page.kind === "failed" ? page.reason : "no node answers" };
  }
  const sample = spread(page.value.hosts, count);
  return { kind: "sampled", hosts: await Promise.all(sample.map((host) => tryHost(ports, host))) };
}

/** Takes hosts of each owner in turn, ascending by owner and id. */
export function spread<Host extends { readonly id: string; readonly owner: string | null }>(
  hosts: readonly Host[],
  count: number,
): Host[] {
  const byOwner = Map.groupBy(hosts, ({ owner }) => owner ?? "");
  const queues = [...byOwner.keys()].toSorted().map((owner) => byOwner.get(owner) ?? []);
  const longest = Math.max(0, ...queues.map((queue) => queue.length));
  const taken: Host[] = [];
  for (let turn = 0; turn < longest && taken.length < count; turn += 1) {
    taken.push(...queues.flatMap((queue) => queue.slice(turn, turn + 1)));
  }
  return taken.slice(0, count).toSorted((left, right) => (left.id < right.id ? -1 : 1));
}

async function tryHost(
  ports: HostPorts,
  { id, address, owner, ...before }: HostView,
): Promise<HostFacts> {
  const host = { id, address, owner };
  const asked = await attempt(ports, () => ports.api.syncHost(id));
  if (asked.kind !== "answered") {
    const reason = asked.kind === "failed" ? asked.reason : "not tried";
    return { ...host, outcome: { kind: "notAsked", reason } };
  }
  const outcome = await attempt(ports, () => waitForResult(ports, id, before));
  return { ...host, outcome: outcome.kind === "answered" ? outcome.value : { kind: "noResult" } };
}

async function waitForResult(
  { api, clock, signal }: HostPorts,
  id: string,
  before: Pick<HostView, "lastContact" | "lastError">,
): Promise<HostOutcome> {
  const endMs = clock.monotonicMs() + resultWithinMs;
  while (clock.monotonicMs() < endMs) {
    await clock.sleep(pollMs, signal);
    const { lastContact, lastError } = await api.host(id);
    if (lastContact !== before.lastContact) return { kind: "answered" };
    if (lastError !== null && lastError.at !== before.lastError?.at) {
      return { kind: "failed", reason: `${lastError.class}: ${lastError.message}` };
    }
  }
  return { kind: "noResult" };
}

/** Reads the agent's file and tries what the agent would. Throws AGENT_CONFIG_INVALID. */
export async function gatherAgent(ports: HostPorts, file: string): Promise<AgentFacts> {
  const raw = await readAgentConfigFile(file);
  const { host, cluster, listen, nodes } = await resolveAgentConfig(raw, folderOf(file));
  const registered = await attempt(ports, () => registeredHost(ports.api, host));
  const tried = nodes.map(async (url) => ({
    url,
    outcome: await attempt(ports, () => sayNothing(ports, url, cluster)),
  }));
  return { host, cluster, listen, registered, nodes: await Promise.all(tried) };
}

const folderOf = (file: string) => file.replace(/[^/]*$/, "") || ".";

async function registeredHost(api: ApiClient, id: string) {
  try {
    return { address: (await api.host(id)).address };
  } catch (error) {
    if (isCoxswainError(error, "HOST_NOT_FOUND")) return undefined;
    throw error;
  }
}

/** Whether the node at `url` is of the same cluster; throws where none answers. */
async function sayNothing(
  { signal }: AttemptPorts,
  url: string,
  cluster: string,
): Promise<
  Extract<AgentFacts["nodes"][number]["outcome"], Tried<unknown> & { kind: "answered" }>["value"]
> {
  const reply = await request(new URL(helloPath, url), {
    method: "POST",
    headers: { "content-type": "application/json", [syncHeaders.cluster]: cluster },
    body: "{}",
    signal: AbortSignal.any([signal, AbortSignal.timeout(helloTimeoutMs)]),
    reset: true,
  });
  const body = errorBodySchema.safeParse(await reply.body.json());
  const code = body.success ? body.data.error.code : undefined;
  if (code === "CLUSTER_MISMATCH") return "other";
  if (code === "REQUEST_INVALID") return "same";
  throw new Error(
    `answered ${reply.statusCode}${code === undefined ? ", not as a node does" : ` ${code}`}`,
  );
}
