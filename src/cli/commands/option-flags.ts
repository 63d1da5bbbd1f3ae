/**
 * Option tables as commander options: `--help` shows each with its variable and default.
 *
 * Values stay raw text: the table's own resolution, which knows files and variables too, checks them.
 */
import { Option, type Command } from "commander";
import { envName, flagName, type OptionSpec, type OptionTable } from "../../kernel/options.ts";

/** Adds `--config` and every option of `table`; the parsed options are named as in the table. */
export function addOptionTable(command: Command, table: OptionTable): void {
  command.option(
    "-c, --config <file>",
    "YAML or JSON file with any of these options (env COXSWAIN_CONFIG)",
  );
  for (const [name, spec] of Object.entries(table)) {
    const flag = flagName(name);
    const isFlag = spec.type === "flag";
    command.addOption(
      new Option(isFlag ? flag : `${flag} <${placeholderOf(spec)}>`, describe(name, spec)),
    );
  }
}

function placeholderOf(spec: OptionSpec): string {
  switch (spec.type) {
    case "choice":
      return "choice";
    case "integer":
      return "n";
    case "duration":
      return "duration";
    case "text":
    case "flag":
      return "text";
  }
}

function describe(name: string, spec: OptionSpec): string {
  const isPlain = spec.default === "" || spec.type === "flag";
  const choices = spec.type === "choice" ? ` One of ${spec.choices.join(", ")}.` : "";
  return `${spec.description}${choices} (${isPlain ? "" : `default ${spec.default}, `}env ${envName(name)})`;
}

/** Splits commander's options into the configuration file and the flags given. */
export function rawOptionsOf(
  options: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>,
) {
  const { config, ...flags } = options;
  const named = typeof config === "string" ? config : env["COXSWAIN_CONFIG"];
  return { configFile: named === "" ? undefined : named, flags, env };
}
