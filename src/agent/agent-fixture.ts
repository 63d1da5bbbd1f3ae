/**
 * A host for the agent's tests: a memory disk that outlives the agent, a manual clock, commands that
 * are recorded instead of run, and syncs parsed as a node parses them.
 */
import { ManualClock } from "../kernel/manual-clock.ts";
import { silentLogger, type Logger } from "../kernel/log.ts";
import { createRandom } from "../kernel/random.ts";
import { syncReplySchema, type SyncReply } from "../protocol/sync.ts";
import { createAgentCore, type AgentCoreOptions } from "./agent-core.ts";
import type { Command, CommandOutcome } from "./command-runner.ts";
import type { ConfigTarget } from "./config-target.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { fullSync, type BuiltSync } from "./sync-builder.ts";

/** A command that ends well. */
export const good: CommandOutcome = { kind: "exited", code: 0, output: "" };

/** A target at /etc/app.conf. */
export function target(overrides: Partial<ConfigTarget> = {}): ConfigTarget {
  return {
    path: "/etc/app.conf",
    attributes: { mode: 0o640 },
    checkTimeoutMs: 1000,
    reloadTimeoutMs: 1000,
    ...overrides,
  };
}

/** A host: a disk that outlives the agent, the commands it ran, and the agent of this moment. */
export async function createHost(
  options: Partial<AgentCoreOptions> & {
    listed?: Record<string, ConfigTarget>;
    acceptUnlisted?: boolean;
    run?: (command: Command) => CommandOutcome | Promise<CommandOutcome>;
    log?: Logger;
    disk?: MemoryDisk;
  } = {},
) {
  const { listed = {}, acceptUnlisted = true, run, log = silentLogger, ...rest } = options;
  const disk = options.disk ?? new MemoryDisk();
  const commands: string[] = [];
  const clock = new ManualClock();
  let boots = 0;
  const open = async () => {
    const core = createAgentCore(
      {
        disk,
        clock,
        log,
        random: createRandom(`boot ${boots++}`),
        runner: {
          run: async (command) => {
            commands.push(command.argv.join(" "));
            return (await run?.(command)) ?? good;
          },
        },
      },
      {
        host: "h1",
        cluster: "c1",
        agentVersion: "test/1",
        targets: { folder: "/agent", listed: new Map(Object.entries(listed)), acceptUnlisted },
        ...rest,
      },
    );
    await core.open();
    return core;
  };
  let core = await open();
  return {
    disk,
    clock,
    commands,
    get core() {
      return core;
    },
    reopen: async () => {
      core = await open();
    },
    sync: async (sync: BuiltSync): Promise<{ status: number; reply: SyncReply; body: object }> => {
      const { status, body } = await core.handleSync(sync);
      const parsed = syncReplySchema.safeParse(body);
      return { status, reply: parsed.data as SyncReply, body };
    },
  };
}

/** Result by config name. */
export function results(reply: SyncReply): Record<string, string> {
  return Object.fromEntries(reply.configs.map(({ name, result }) => [name, result]));
}

export function manifestOf(contents: Record<string, string>): string {
  return fullSync("1.1.1", contents).body.manifest;
}
