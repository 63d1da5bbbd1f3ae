/**
 * Entry of a host container: several real agents on one address, each with a port and a folder.
 *
 * Each writes the log that the checker reads: one line for every durable state, before the reply to
 * the sync leaves, so that nothing can be acknowledged that is not in the log. The log lies outside
 * the agents' folders, which a scenario may fill up.
 */
import { appendFileSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { createAgent, type Agent } from "../../src/agent/agent.ts";
import type { AgentCore } from "../../src/agent/agent-core.ts";
import { resolveAgentConfig } from "../../src/agent/config-file.ts";
import { formatFence } from "../../src/protocol/fence.ts";
import type { ApplyRecord } from "./checker.ts";
import type { FleetPlan } from "./fleet-plan.ts";

const plan = JSON.parse(process.env["CHAOS_FLEET"] ?? "") as FleetPlan;
const agents: Agent[] = [];

/** Takes the place of two methods of the core, where every durable state passes. */
function keepLog({ core }: Agent, host: string): void {
  const path = join(plan.logFolder, `${host}.jsonl`);
  let written = "";
  const append = (event: ApplyRecord["event"]) => {
    const { fence, manifest, configs } = core.held();
    const state = JSON.stringify([fence, manifest]);
    if (event === "sync" && state === written) return;
    written = state;
    const record: ApplyRecord = {
      host,
      event,
      fence: fence === undefined ? null : formatFence(fence),
      manifest,
      configs,
      at: new Date().toISOString(),
    };
    appendFileSync(path, `${JSON.stringify(record)}\n`);
  };
  const watched: Pick<AgentCore, "open" | "handleSync"> = core;
  const open = core.open.bind(core);
  const handleSync = core.handleSync.bind(core);
  watched.open = async () => {
    await open();
    append("open");
  };
  watched.handleSync = async (request) => {
    const answer = await handleSync(request);
    append("sync");
    return answer;
  };
}

async function startAgent(host: string, port: number): Promise<void> {
  const settings = await resolveAgentConfig(
    {
      host,
      cluster: plan.cluster,
      nodes: plan.nodes,
      dir: join(plan.dataFolder, host),
      listen: `${plan.address}:${port}`,
    },
    plan.dataFolder,
  );
  const agent = createAgent({ ...settings, helloSpreadMs: 500 });
  keepLog(agent, host);
  await agent.start();
  agents.push(agent);
}

async function end(): Promise<void> {
  await Promise.all(agents.map((agent) => agent.stop()));
  process.exit(0);
}

process.once("SIGTERM", () => void end());
mkdirSync(plan.logFolder, { recursive: true });
for (const [index, host] of plan.hosts.entries()) await startAgent(host, plan.firstPort + index);
process.stdout.write("agents listening\n");
