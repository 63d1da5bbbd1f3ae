import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { createCommandRunner } from "./command-runner.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-command-"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function run(argv: string[], timeoutMs = 5_000) {
  return createCommandRunner({ workingFolder: folder, clock: systemClock }).run({
    argv,
    timeoutMs,
  });
}

test("arguments reach the program as they are: there is no shell", async () => {
  const outcome = await run(["printf", "%s", "$HOME; `id` && *"]);
  expect(outcome).toEqual({ kind: "exited", code: 0, output: "$HOME; `id` && *" });
});

test("both outputs are returned with the exit code", async () => {
  const outcome = await run(["sh", "-c", "echo out; echo err >&2; exit 3"]);
  expect(outcome).toMatchObject({ kind: "exited", code: 3 });
  expect(outcome).toHaveProperty("output", expect.stringMatching(/out\n.*err|err\n.*out/s));
});

test("a program sees a minimal environment and the working folder", async () => {
  const outcome = await run(["sh", "-c", "pwd; env | cut -d= -f1 | sort | tr '\\n' ' '"]);
  expect(outcome).toHaveProperty("output", expect.stringContaining(folder));
  expect(outcome).toHaveProperty("output", expect.stringMatching(/\nLANG (?:OLDPWD )?PATH PWD /));
});

test("a program that is not there is not started", async () => {
  expect(await run(["no-such-program-here"])).toMatchObject({
    kind: "notStarted",
    message: expect.stringContaining("ENOENT") as unknown,
  });
});

test("a timeout ends the program and its children", async () => {
  const script = "sleep 60 & echo $! > child; echo started; wait";
  const outcome = await run(["sh", "-c", script], 300);
  expect(outcome).toEqual({ kind: "timedOut", output: "started\n" });
  const child = (await readFile(join(folder, "child"), "utf8")).trim();
  await expect.poll(() => isRunning(child), { timeout: 2_000 }).toBe(false);
});

test("output over the bound is dropped while the program goes on", async () => {
  const outcome = await run(["sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x; exit 4"]);
  expect(outcome).toMatchObject({ kind: "exited", code: 4 });
  expect(outcome).toHaveProperty("output.length", 64 * 1024);
});

test("a daemon left behind with open pipes does not hold up the outcome", async () => {
  const outcome = await run(["sh", "-c", "sleep 5 & echo done"], 3_000);
  expect(outcome).toEqual({ kind: "exited", code: 0, output: "done\n" });
});

test("a program ended by a signal is not taken for a verdict", async () => {
  expect(await run(["sh", "-c", "kill -9 $$"])).toMatchObject({
    kind: "killed",
    signal: "SIGKILL",
  });
});

async function isRunning(pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !stat.includes(") Z ");
}
