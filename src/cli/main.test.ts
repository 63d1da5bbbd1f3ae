import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { startScriptedApi } from "./cli-fixture.ts";

const main = fileURLToPath(new URL("./main.ts", import.meta.url));
const launcher = fileURLToPath(new URL("../../bin/coxswain.js", import.meta.url));

function start(file: string, args: readonly string[], channel: "ipc" | "ignore" = "ignore") {
  const child = spawn(process.execPath, [file, ...args], {
    stdio: ["ignore", "pipe", "pipe", channel],
  });
  const output = { stdout: "", stderr: "" };
  child.stdout?.on("data", (chunk: Buffer) => (output.stdout += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (output.stderr += chunk.toString()));
  return { child, output, ended: endOf(child, "close"), exited: endOf(child, "exit") };
}

/** `close` comes once the output has been read too, but never where the parent cut the channel. */
async function endOf(child: ChildProcess, event: "close" | "exit"): Promise<number | string> {
  const [code, signal] = (await once(child, event)) as [number | null, string | null];
  return code ?? signal ?? "";
}

function sse(count: number): Buffer {
  const event = `event: e\ndata: {"type":"e","at":"2026-11-23T06:00:00.000Z","number":`;
  return Buffer.from(
    Array.from({ length: count }, (_, number) => `${event}${number}}\n\n`).join(""),
  );
}

test("the launcher runs the program and passes its exit code on", async () => {
  const version = start(launcher, ["--version"]);
  expect(await version.ended).toBe(0);
  expect(version.output.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  const wrong = start(launcher, ["nonsense"]);
  expect(await wrong.ended).toBe(64);
  expect(wrong.output.stderr).toContain("error USAGE_INVALID: unknown command 'nonsense'");
});

test("Ctrl-C ends a command that waits with 130 and without an error", async () => {
  await using api = await startScriptedApi({ "GET /v1/events": { bytes: sse(1) } });
  const { child, output, ended } = start(main, ["events", "--api", api.url]);
  await once(child.stdout ?? child, "data");
  child.kill("SIGINT");
  expect(await ended).toBe(130);
  expect(output.stderr).not.toContain("error");
});

test("a reader that goes away is no error", async () => {
  await using api = await startScriptedApi({ "GET /v1/events": { bytes: sse(900) } });
  const { child, output, ended } = start(main, ["events", "--api", api.url]);
  await once(child.stdout ?? child, "data");
  child.stdout?.destroy();
  // The next line after the reconnect finds the pipe closed.
  expect(await ended).toBe(0);
  expect(output.stderr).not.toContain("EPIPE");
});

test("a process started with a channel ends when its parent closes it", async () => {
  await using api = await startScriptedApi({ "GET /v1/events": { bytes: sse(1) } });
  const { child, exited } = start(main, ["events", "--api", api.url], "ipc");
  await once(child.stdout ?? child, "data");
  child.disconnect();
  expect(await exited).toBe(130);
});
