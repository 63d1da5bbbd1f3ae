/**
 * Child process of the demo: real agents, each with a port and a folder of its own.
 *
 * Told what to do over the channel to its parent; ends when the channel closes, so that agents never
 * outlive the demo, and ignores Ctrl-C, which the terminal sends to the whole group: the parent ends
 * it in its own time.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createAgent, type Agent } from "../../agent/agent.ts";
import { resolveAgentConfig } from "../../agent/config-file.ts";
import { messageOf } from "../../kernel/errors.ts";
import { digestOf } from "../../protocol/digest.ts";
import type { AgentAnswer, AgentCommand, AgentRequest, HeldFile } from "./agent-messages.ts";
import type { HostPlan } from "./demo-plan.ts";

/** Agents started or stopped at a time. */
const atOnceMax = 16;
/** Quick for a demo: a host that comes back is heard of at once. */
const helloSpreadMs = 500;

interface Running {
  readonly agent: Agent;
  readonly dir: string;
}

const agents = new Map<string, Running>();

async function inTurns<Item>(
  items: readonly Item[],
  work: (item: Item) => Promise<void>,
): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await work(item);
  };
  await Promise.all(Array.from({ length: atOnceMax }, worker));
}

async function startAgent(
  host: HostPlan,
  cluster: string,
  nodes: readonly string[],
): Promise<void> {
  if (agents.has(host.id)) return;
  const settings = await resolveAgentConfig(
    { host: host.id, cluster, nodes, dir: host.dir, listen: `127.0.0.1:${host.port}` },
    host.dir,
  );
  const agent = createAgent({ ...settings, helloSpreadMs });
  await agent.start();
  agents.set(host.id, { agent, dir: host.dir });
}

async function stopAgent(id: string): Promise<void> {
  await agents.get(id)?.agent.stop();
  agents.delete(id);
}

async function heldFile(id: string, dir: string, config: string): Promise<HeldFile> {
  const path = join(dir, "configs", config);
  const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
  });
  return { id, digest: content === undefined ? undefined : digestOf(content) };
}

async function carryOut(command: AgentCommand): Promise<Omit<AgentAnswer, "number">> {
  switch (command.kind) {
    case "start":
      await inTurns(command.hosts, (host) => startAgent(host, command.cluster, command.nodes));
      return {};
    case "stop":
      await inTurns(command.ids, stopAgent);
      return {};
    case "held": {
      const running = [...agents].toSorted(([left], [right]) => (left < right ? -1 : 1));
      return {
        held: await Promise.all(running.map(([id, { dir }]) => heldFile(id, dir, command.config))),
      };
    }
  }
}

async function answer({ number, command }: AgentRequest): Promise<void> {
  const reply: AgentAnswer = await carryOut(command).then(
    (result) => ({ number, ...result }),
    (error: unknown) => ({ number, error: messageOf(error) }),
  );
  process.send?.(reply);
}

async function end(): Promise<void> {
  await inTurns([...agents.keys()], stopAgent);
  process.exit(0);
}

process.on("message", (message) => void answer(message as AgentRequest));
process.on("SIGINT", () => {});
process.once("SIGTERM", () => void end());
process.once("disconnect", () => process.exit(1));
