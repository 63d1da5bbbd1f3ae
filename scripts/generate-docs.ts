/**
 * Writes the reference pages that are made from code: configuration, errors, metrics and limits.
 *
 * `npm run docs` writes them; a test renders them again and fails where a page is not current, so a
 * page can neither miss an entry nor keep one that is gone.
 */
import { writeFileSync } from "node:fs";
import { errorRegistry } from "../src/kernel/errors.ts";
import { createMetrics } from "../src/kernel/metrics.ts";
import { envName, flagName, formatDuration, type OptionTable } from "../src/kernel/options.ts";
import { initOptions, nodeOptions } from "../src/node/options.ts";
import { configNamePattern, idPattern, limits } from "../src/protocol/limits.ts";

const made = "<!-- Made by `npm run docs`; change the code, not this page. -->\n";

/** Path below the repository -> text of every generated page. */
export async function renderPages(): Promise<Record<string, string>> {
  return {
    "docs/configuration.md": configurationPage(),
    "docs/errors.md": errorsPage(),
    "docs/metrics.md": await metricsPage(),
    "docs/limits.md": limitsPage(),
  };
}

function configurationPage(): string {
  return `${made}
# Configuration

Each option is a flag, an environment variable and a key of the configuration file (\`--config FILE\`,
JSON or YAML). Flags win over the environment, the environment over the file, the file over defaults.
Unknown keys are errors. Durations are written \`250ms\`, \`10s\`, \`5m\`, \`1h\`, or as a number of
milliseconds.

## \`coxswain node\`

${optionTable(nodeOptions)}

## \`coxswain init\`

${optionTable(initOptions)}
`;
}

function optionTable(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, spec]) => {
    const range =
      spec.type === "integer"
        ? `${spec.min} to ${spec.max}`
        : spec.type === "duration"
          ? `${formatDuration(spec.min)} to ${formatDuration(spec.max)}`
          : spec.type === "choice"
            ? spec.choices.join(", ")
            : spec.type;
    const initial = spec.default === "" ? "(empty)" : `\`${spec.default}\``;
    return `| \`${name}\`<br>\`${flagName(name)}\`<br>\`${envName(name)}\` | ${initial} | ${range} | ${spec.description} ${spec.reason} |`;
  });
  return [
    "| option | default | values | what it does, and why the default |",
    "|---|---|---|---|",
    ...rows,
  ].join("\n");
}

function errorsPage(): string {
  const rows = Object.entries(errorRegistry).map(
    ([code, row]) =>
      `| \`${code}\` | ${row.status} | ${row.exitCode} | ${row.retryable ? "yes" : "no"} | ${row.next} |`,
  );
  return `${made}
# Errors

Every refusal and failure has a code. The API answers
\`{"error":{"code","message","details"}}\` with the status below; a command prints code, message and
advice on standard error and ends with the exit code below. Match on the code: messages may change,
codes do not, and a retired code is never used again.

| code | status | exit | the same call may succeed later | what to do |
|---|---|---|---|---|
${rows.join("\n")}

Other exit codes of commands: 0 done, 64 wrong usage (unknown command or flag), 130 interrupted.
`;
}

async function metricsPage(): Promise<string> {
  const { registry } = createMetrics();
  const metrics = await registry.getMetricsAsJSON();
  const rows = metrics.map(({ name, type, help }) => `| \`${name}\` | ${String(type)} | ${help} |`);
  return `${made}
# Metrics

\`GET /metrics\` on the api listener, in the Prometheus text format. No metric has a host as a label:
the number of series does not grow with the fleet.

| metric | type | meaning |
|---|---|---|
${rows.join("\n")}
`;
}

function limitsPage(): string {
  const rows = Object.entries(limits).map(([name, value]) => `| \`${name}\` | ${value} |`);
  return `${made}
# Limits

Everything has a limit, the same at publisher, node and host, so that nothing is accepted at one end
that the other must refuse. Sizes are bytes before compression unless the name says otherwise.

| limit | value |
|---|---|
${rows.join("\n")}

- Host ids, slots and label values match \`${idPattern.source}\`.
- Config names match \`${configNamePattern.source}\`.
`;
}

if (import.meta.main) {
  for (const [path, text] of Object.entries(await renderPages())) {
    writeFileSync(new URL(`../${path}`, import.meta.url), text);
  }
}
