import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { systemClock } from "../../kernel/clock.ts";
import { AgentFleet } from "./agent-fleet.ts";
import { childEnv, DemoChild } from "./child-process.ts";

/** Port 0: each agent takes a free one, which no test needs to know here. */
function hostsIn(dir: string) {
  return ["h-1", "h-2"].map((id) => ({ id, port: 0, address: "", labels: {}, dir: join(dir, id) }));
}

test("agents start, answer for their disks, and stop; a dead child says what its log says", async () => {
  const dir = await mkdtemp(join(tmpdir(), "coxswain-fleet-"));
  const child = new DemoChild({
    name: "agents",
    entry: new URL("./demo-agents.ts", import.meta.url),
    args: [],
    logPath: join(dir, "agents.log"),
    env: childEnv(process.env),
  });
  try {
    const fleet = new AgentFleet(child, []);
    await fleet.start(hostsIn(dir));
    expect(fleet.runningCount).toBe(2);
    expect(await fleet.held()).toEqual([
      { id: "h-1", digest: undefined },
      { id: "h-2", digest: undefined },
    ]);
    await fleet.stop(["h-1"]);
    expect([fleet.isRunning("h-1"), fleet.isRunning("h-2")]).toEqual([false, true]);
    expect((await fleet.held()).map(({ id }) => id)).toEqual(["h-2"]);
    child.kill();
    await expect(fleet.held()).rejects.toMatchObject({ code: "DEMO_FAILED" });
    await expect(fleet.held()).rejects.toThrow(
      /agents ended with SIGKILL; the end of .*agents\.log/,
    );
  } finally {
    await child.stop(systemClock);
    await rm(dir, { recursive: true });
  }
});

test("a child does not inherit what would steer it elsewhere", () => {
  const env = childEnv({ PATH: "/bin", COXSWAIN_SLOT: "x", AWS_PROFILE: "prod" });
  expect(env).toMatchObject({ PATH: "/bin", AWS_ACCESS_KEY_ID: "demo" });
  expect(Object.keys(env)).not.toContain("COXSWAIN_SLOT");
  expect(Object.keys(env)).not.toContain("AWS_PROFILE");
});
