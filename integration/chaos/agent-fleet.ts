/**
 * Entry of a host container: several real agents on one address, each with a port and a folder.
 *
 * Each writes the log that the checker reads: one line for every durable state, before the reply to
 * the sync leaves, so that nothing can be acknowledged that is not in the log. The log lies outside
 * the agents' folders, which a scenario may fill up.
 */
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:http";
import { join } from "node:path";
import process from "node:process";
import { createAgent, type Agent } from "../../src/agent/agent.ts";
import type { AgentCore } from "../../src/agent/agent-core.ts";
import { resolveAgentConfig } from "../../src/agent/config-file.ts";
import { digestOf } from "../../src/protocol/digest.ts";
import { formatFence } from "../../src/protocol/fence.ts";
import type { ApplyRecord } from "./checker.ts";
import type { FleetPlan, PlannedHost } from "./fleet-plan.ts";
import { startLyingBalancer } from "./lying-balancer.ts";

const plan = JSON.parse(process.env["CHAOS_FLEET"] ?? "") as FleetPlan;
/** A line for each lie of a load balancer that lies. */
const liesFile = "lies";
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

/** What its machine's owner would write down for a host of its mode. */
function configOf({ id, mode, key, isDirect }: PlannedHost, port: number) {
  const keyFile = join(plan.logFolder, `${id}.key`);
  writeFileSync(keyFile, key);
  const liar = plan.liarPort === undefined ? [] : [`http://${plan.address}:${plan.liarPort}`];
  return {
    host: id,
    cluster: plan.cluster,
    modes: [mode],
    keyFile,
    nodes: [...liar, ...plan.nodes],
    direct: isDirect,
    dir: join(plan.dataFolder, id),
    listen: `${plan.address}:${port}`,
    ...(mode === "knock" ? { knockAt: plan.knockAt } : {}),
    ...(mode === "object" ? { object: { url: plan.objects } } : {}),
  };
}

async function startAgent(host: PlannedHost, port: number): Promise<void> {
  const settings = await resolveAgentConfig(configOf(host, port), plan.dataFolder);
  const agent = createAgent({ ...settings, helloSpreadMs: 500 });
  keepLog(agent, host.id);
  await agent.start();
  agents.push(agent);
}

/** Read from the disks, as the final check does: it saves starting a process for each look at them. */
function filesOf({ id }: PlannedHost): Record<string, string> {
  const folder = join(plan.dataFolder, id, "configs");
  if (!existsSync(folder)) return {};
  const names = readdirSync(folder).filter((name) => !name.startsWith("."));
  return Object.fromEntries(
    names.map((name) => [name, digestOf(readFileSync(join(folder, name)))]),
  );
}

function answerHeld(port: number): void {
  createServer((_request, response) => {
    const held = Object.fromEntries(plan.hosts.map((host) => [host.id, filesOf(host)]));
    response.setHeader("connection", "close").end(JSON.stringify(held));
  }).listen(port, plan.address);
}

async function end(): Promise<void> {
  await Promise.all(agents.map((agent) => agent.stop()));
  process.exit(0);
}

process.once("SIGTERM", () => void end());
mkdirSync(plan.logFolder, { recursive: true });
if (plan.liarPort !== undefined) {
  startLyingBalancer(plan.address, plan.liarPort, join(plan.logFolder, liesFile));
}
for (const [index, host] of plan.hosts.entries()) await startAgent(host, plan.firstPort + index);
if (plan.heldPort !== undefined) answerHeld(plan.heldPort);
process.stdout.write("agents listening\n");
