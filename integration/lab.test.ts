import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import type { LabResults } from "../src/cli/lab/lab-results.ts";
import type { Shape } from "../src/cli/lab/lab-scene.ts";
import { runCoxswain } from "./run-command.ts";

/**
 * Renders that occupy the renderer and not the processor: their capacity is known on a machine that runs
 * other tests at the same time. At 10 ms each, twice the capacity is 200 calls a second.
 */
const small = ["lab", "--quick", "--render", "wait", "--render-ms", "10", "--hosts", "200"];

describe("the laboratory", () => {
  it("shows the naive poll collapse where the hardened poll and the pushing shapes keep delivering", async () => {
    const shapes = "naive,hardened,object,push,reverse,knock";
    const { code, stdout, stderr } = await runCoxswain(
      [...small, "--shapes", shapes, "--loads", "2", "--triggers", "none", "--output", "json"],
      60_000,
    );
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const { points, capacityPerSecond } = JSON.parse(stdout) as LabResults;
    const goodOf = (shape: Shape) =>
      points.find((point) => point.shape === shape)?.good ?? Number.NaN;
    expect(capacityPerSecond).toBeGreaterThan(30);
    expect(goodOf("naive")).toBeLessThan(0.5 * capacityPerSecond);
    expect(goodOf("hardened")).toBeGreaterThan(0.6 * capacityPerSecond);
    // Their pace is eight tenths of the capacity; half a second of each on a busy machine is noisy.
    const paced = (["object", "push", "reverse", "knock"] as const).map(goodOf);
    expect(Math.min(...paced)).toBeGreaterThan(0.3 * capacityPerSecond);
    const mean = paced.reduce((sum, good) => sum + good, 0) / paced.length;
    expect(mean).toBeGreaterThan(0.6 * capacityPerSecond);
  });

  it("ends its processes when it is interrupted", async () => {
    const entry = new URL("../src/cli/main.ts", import.meta.url).pathname;
    const args = [entry, ...small, "--shapes", "push", "--loads", "1"];
    const lab = spawn(process.execPath, args, { stdio: ["ignore", "ignore", "pipe"] });
    await once(lab.stderr, "data");
    const children = await childrenOf(lab.pid ?? 0);
    expect(children).toHaveLength(2);
    lab.kill("SIGINT");
    const [code] = (await once(lab, "exit")) as [number | null];
    expect(code).toBe(130);
    for (const pid of children) expect(() => process.kill(pid, 0)).toThrow("ESRCH");
  });
});

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return text.trim().split(" ").map(Number);
}
