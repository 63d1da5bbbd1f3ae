import { describe, expect, it } from "vitest";
import { runCoxswain } from "./run-command.ts";

describe("the demo without a terminal", () => {
  it("rolls out, loses a node to SIGKILL, rolls out again, and names who is unreachable", async () => {
    const { code, stdout, stderr } = await runCoxswain(
      ["demo", "--once", "--nodes", "3", "--hosts", "40"],
      100_000,
    );
    expect(stderr).toBe("");
    expect(stdout).toMatch(/kill -9 +node-\d, owner of \d+ hosts/);
    expect(stdout).toContain("refused: connect ECONNREFUSED");
    expect(stdout).toContain("at the end  40 hosts: 35 applied");
    expect(code).toBe(0);
  });
});
