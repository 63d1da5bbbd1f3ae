/** docs/operations.md names whatever a node warns of: each log line, each metric with a bad value. */
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createMetrics } from "../../kernel/metrics.ts";
import { alarms } from "./diagnose-alarms.ts";

const root = new URL("../../../", import.meta.url);
const page = readFileSync(new URL("docs/operations.md", root), "utf8");

/** Folders whose code runs in a node. */
const folders = ["api", "inventory", "kernel", "membership", "node", "push", "store"];

/** The constant messages of warnings and errors in a source text. */
function messagesOf(source: string): string[] {
  const calls = source.matchAll(/log\s*\.(?:warn|error)\(\s*\{[^"]*?\},\s*"([^"]+)"/gi);
  return [...calls].map(([, message = ""]) => message);
}

test("every warning and error that a node logs is on the page", () => {
  const messages = folders.flatMap((folder) => {
    const base = new URL(`src/${folder}/`, root);
    return readdirSync(base)
      .filter((name) => name.endsWith(".ts") && !name.includes(".test."))
      .flatMap((name) => messagesOf(readFileSync(new URL(name, base), "utf8")));
  });
  expect(messages.length).toBeGreaterThan(20);
  expect(messages.filter((message) => !page.includes(message))).toEqual([]);
});

test("every metric that an alarm of doctor reads exists and is on the page", async () => {
  const known = (await createMetrics().registry.getMetricsAsJSON()).map(({ name }) => name);
  for (const { metric } of alarms) {
    expect(known).toContain(metric);
    expect(page).toContain(metric);
  }
});

test("every metric whose help names a bad value is on the page", async () => {
  const metrics = await createMetrics().registry.getMetricsAsJSON();
  const bad = metrics.filter(({ help }) => help.includes("Bad: ")).map(({ name }) => name);
  expect(bad.length).toBeGreaterThan(8);
  expect(bad.filter((name) => !page.includes(name))).toEqual([]);
});
