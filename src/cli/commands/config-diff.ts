/**
 * `config diff`: what changes between two releases, or between a release and a file.
 */
import { createTwoFilesPatch } from "diff";
import type { Command } from "commander";
import { digestOf } from "../../protocol/digest.ts";
import { CoxswainError } from "../../kernel/errors.ts";
import { limits } from "../../protocol/limits.ts";
import { paint, print, type TextOutput } from "../cli-context.ts";
import {
  examples,
  type CommandDeps,
  type CommandInput,
  type CommandShell,
} from "../command-shell.ts";
import { formatBytes, shortDigest } from "../format.ts";
import { readInput } from "../parse-arguments.ts";
import { resolveDigest } from "../resolve-digest.ts";

/** Above this many changed lines a shortest diff costs too much time: the sides are shown whole. */
const changedLinesMax = 20_000;

interface Side {
  readonly name: string;
  readonly content: Buffer;
}

export function registerConfigDiff(config: Command, shell: CommandShell): void {
  shell.onApi<{ file?: string }>(
    config
      .command("diff <name> [from] [to]")
      .description(
        "Unified diff. Without digests: the release before the newest against the newest; with --file: FROM (default: the newest) against a file.",
      )
      .option("--file <path>", "compare with this file (- for standard input) instead of a release")
      .addHelpText(
        "after",
        examples(
          "coxswain config diff routes.json",
          "coxswain config diff routes.json 3b1f0c9a72de 99aa01b2c3d4",
          "coxswain config diff routes.json --file ./routes.json",
        ),
      ),
    diffConfig,
  );
}

async function diffConfig(
  { context, api, isJson }: CommandDeps,
  { args, options }: CommandInput<{ file?: string }>,
): Promise<number> {
  const [name = "", from, to] = args;
  if (options.file !== undefined && to !== undefined) {
    throw new CoxswainError(
      "USAGE_INVALID",
      "Expected either a second digest or `--file`, got both",
    );
  }
  const release = async (text: string): Promise<Side> => {
    const digest = await resolveDigest(api, name, text);
    return { name: `${name}@${shortDigest(digest)}`, content: await api.content(name, digest) };
  };
  const right =
    options.file === undefined
      ? await release(to ?? "latest")
      : {
          name: options.file,
          content: await readInput(options.file, context.stdin, limits.contentBytesMax),
        };
  const left = await release(
    from ?? (options.file === undefined ? await releaseBeforeNewest(api, name) : "latest"),
  );
  const patch = diffOf(left, right);
  if (isJson) {
    const isEqual = left.content.equals(right.content);
    const sides = [left, right].map((side) => ({
      name: side.name,
      digest: digestOf(side.content),
    }));
    print(
      context.stdout,
      JSON.stringify({ isEqual, from: sides[0], to: sides[1], patch }, null, 2),
    );
  } else if (patch !== "") {
    print(context.stdout, colourPatch(context.stdout, patch));
  }
  return 0;
}

async function releaseBeforeNewest(api: CommandDeps["api"], name: string): Promise<string> {
  const { releases } = await api.releases(name);
  const digest = releases[1]?.digest;
  if (digest !== undefined) return digest;
  throw new CoxswainError(
    "RELEASE_NOT_FOUND",
    `Expected ${name} to have two releases to compare, got ${releases.length}`,
  );
}

/** A unified diff; empty where both are equal; one sentence where either is not text. */
export function diffOf(left: Side, right: Side): string {
  if (left.content.equals(right.content)) return "";
  const leftText = textOf(left.content);
  const rightText = textOf(right.content);
  if (leftText === undefined || rightText === undefined) {
    return `Binary contents differ: ${left.name} (${formatBytes(left.content.length)}) and ${right.name} (${formatBytes(right.content.length)})`;
  }
  const patch = createTwoFilesPatch(
    left.name,
    right.name,
    leftText,
    rightText,
    undefined,
    undefined,
    {
      maxEditLength: changedLinesMax,
    },
  );
  return patch === undefined
    ? `Contents differ in more than ${changedLinesMax} lines: ${left.name} and ${right.name}`
    : patch.replace(/^=+\n/, "").trimEnd();
}

/** Undefined for what is not UTF-8 text. */
function textOf(content: Buffer): string | undefined {
  const text = content.toString("utf8");
  return text.includes("\0") || !Buffer.from(text, "utf8").equals(content) ? undefined : text;
}

function colourPatch(stdout: TextOutput, patch: string): string {
  return patch
    .split("\n")
    .map((line) => {
      if (line.startsWith("+") && !line.startsWith("+++ ")) return paint(stdout, "green", line);
      if (line.startsWith("-") && !line.startsWith("--- ")) return paint(stdout, "red", line);
      return line.startsWith("@@") ? paint(stdout, "cyan", line) : line;
    })
    .join("\n");
}
