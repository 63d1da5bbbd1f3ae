/**
 * `config`: documents and their immutable releases.
 */
import type { Command } from "commander";
import { limits } from "../../protocol/limits.ts";
import { print } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { formatAge, formatBytes, formatTable, printable, shortDigest } from "../format.ts";
import { readInput } from "../parse-arguments.ts";
import { resolveDigest } from "../resolve-digest.ts";
import { registerConfigDiff } from "./config-diff.ts";

export function registerConfig(program: Command, shell: CommandShell): void {
  const config = program
    .command("config")
    .description("Configs and their releases: immutable contents, named by digest.");
  shell.onApi(
    config
      .command("put <name> <file>")
      .description("Publishes a file (- for standard input) as a release. It reaches no host yet.")
      .addHelpText(
        "after",
        examples(
          "coxswain config put routes.json ./routes.json",
          "render | coxswain config put nginx.conf -",
        ),
      ),
    putConfig,
  );
  shell.onApi(
    config
      .command("ls [name]")
      .description("Lists configs, or the releases of one, newest first.")
      .addHelpText("after", examples("coxswain config ls", "coxswain config ls routes.json")),
    listConfigs,
  );
  shell.onApi(
    config
      .command("show <name> [digest]")
      .description("Writes the content of a release (default: the newest) to standard output.")
      .addHelpText(
        "after",
        examples(
          "coxswain config show routes.json",
          "coxswain config show routes.json 3b1f0c9a72de > old.json",
        ),
      ),
    showConfig,
  );
  registerConfigDiff(config, shell);
}

async function putConfig(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const [name = "", path = ""] = args;
  const content = await readInput(path, context.stdin, limits.contentBytesMax);
  const release = await api.putRelease(name, content);
  if (isJson) {
    print(context.stdout, JSON.stringify(release, null, 2));
    return 0;
  }
  const what = release.isNew ? "published" : "already published";
  print(
    context.stdout,
    `${what} ${printable(name)} ${release.digest} (${formatBytes(release.size)})`,
  );
  print(
    context.stderr,
    `next: coxswain rollout start ${printable(name)} --digest ${shortDigest(release.digest)}`,
  );
  return 0;
}

async function listConfigs(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const [name] = args;
  const answer = name === undefined ? await api.configs() : await api.releases(name);
  if (isJson) {
    print(context.stdout, JSON.stringify(answer, null, 2));
    return 0;
  }
  const wallMs = context.clock.wallMs();
  print(
    context.stdout,
    "configs" in answer
      ? formatTable(
          ["config", "releases", "latest", "size", "age"],
          answer.configs.map(({ name: config, releases, latest }) => [
            printable(config),
            String(releases),
            shortDigest(latest?.digest),
            latest === null ? "-" : formatBytes(latest.size),
            formatAge(latest?.at, wallMs),
          ]),
        )
      : formatTable(
          ["digest", "size", "author", "age"],
          answer.releases.map(({ digest, size, author, at }) => [
            shortDigest(digest),
            formatBytes(size),
            printable(author),
            formatAge(at, wallMs),
          ]),
        ),
  );
  return 0;
}

async function showConfig(
  { context, api, isJson }: CommandDeps,
  { args }: CommandInput<unknown>,
): Promise<number> {
  const [name = "", text = "latest"] = args;
  const digest = await resolveDigest(api, name, text);
  const content = await api.content(name, digest);
  if (!isJson) {
    context.stdout.stream.write(content);
    return 0;
  }
  const asText = content.toString("utf8");
  const isText = Buffer.from(asText, "utf8").equals(content);
  const encoding = isText ? "utf8" : "base64";
  const shown = {
    name,
    digest,
    size: content.length,
    encoding,
    content: content.toString(encoding),
  };
  print(context.stdout, JSON.stringify(shown, null, 2));
  return 0;
}
