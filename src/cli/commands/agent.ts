/** `agent`: runs the agent of one host in this process until it is told to stop; loads it only then. */
import { Option, type Command } from "commander";
import type { AgentCommandOptions } from "../../agent/agent-command.ts";
import { logLevels, type LogLevel } from "../../kernel/log.ts";
import { examples, type CommandShell } from "../command-shell.ts";

interface AgentFlags {
  readonly config?: string;
  readonly host?: string;
  readonly cluster?: string;
  readonly listen?: string;
  readonly dir?: string;
  readonly nodes?: string;
  readonly acceptUnlisted: boolean;
  readonly logLevel?: LogLevel;
}

type Env = Readonly<Record<string, string | undefined>>;

export function registerAgent(program: Command, shell: CommandShell): void {
  const command = program
    .command("agent")
    .description("Runs an agent: it holds what nodes push to it, and says hello when it starts.")
    .option(
      "-c, --config <file>",
      "YAML or JSON file: paths, check and reload commands (env COXSWAIN_CONFIG)",
    )
    .option("--host <id>", "id of this host in the inventory (env COXSWAIN_HOST)")
    .option("--cluster <id>", "pushes from any other cluster are refused (env COXSWAIN_CLUSTER)")
    .option(
      "--listen <host:port>",
      "address to listen on, default 127.0.0.1:7500 (env COXSWAIN_LISTEN)",
    )
    .option("--dir <dir>", "folder of the agent's state (env COXSWAIN_DIR)")
    .option(
      "--nodes <urls>",
      "fleet addresses of nodes to say hello to, joined by commas (env COXSWAIN_NODES)",
    )
    .option("--no-accept-unlisted", "refuse configs that the file does not list")
    .addOption(new Option("--log-level <level>", "env COXSWAIN_LOG_LEVEL").choices(logLevels))
    .addHelpText(
      "after",
      examples(
        "coxswain agent --host edge-17 --cluster prod --dir /var/lib/coxswain --listen 10.0.0.17:7500",
        "coxswain agent --config /etc/coxswain/agent.yaml",
      ),
    );
  shell.onLocal<AgentFlags>(command, async (context, { options }) => {
    const { runAgentCommand } = await import("../../agent/agent-command.ts");
    return runAgentCommand(agentOptionsOf(options, context.env));
  });
}

/** Flags win over variables; what neither names is left to the file. */
function agentOptionsOf(flags: AgentFlags, env: Env): AgentCommandOptions {
  const valueOf = (flag: string | undefined, name: string) =>
    flag ?? (env[name] === "" ? undefined : env[name]);
  const level = valueOf(flags.logLevel, "COXSWAIN_LOG_LEVEL");
  return {
    configFile: valueOf(flags.config, "COXSWAIN_CONFIG"),
    host: valueOf(flags.host, "COXSWAIN_HOST"),
    cluster: valueOf(flags.cluster, "COXSWAIN_CLUSTER"),
    listen: valueOf(flags.listen, "COXSWAIN_LISTEN"),
    dir: valueOf(flags.dir, "COXSWAIN_DIR"),
    nodes: valueOf(flags.nodes, "COXSWAIN_NODES")
      ?.split(",")
      .map((url) => url.trim()),
    acceptUnlisted: flags.acceptUnlisted ? undefined : false,
    logLevel: logLevels.find((known) => known === level),
  };
}
