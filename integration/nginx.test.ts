import { existsSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { runCommand } from "./run-command.ts";

const script = new URL("../examples/nginx/run.sh", import.meta.url).pathname;
const isInstalled = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/bin/nginx"].some(existsSync);
if (!isInstalled) console.warn("nginx is not installed: its example is not tested here");

describe.skipIf(!isInstalled)("the nginx example", () => {
  it("applies a good config and refuses a broken one with nginx's own message", async () => {
    const { code, stdout, stderr } = await runCommand("bash", [script], 110_000);
    expect(stderr).not.toContain("FAILED");
    expect(code).toBe(0);
    expect(stdout).toContain('unknown directive "retrun"');
  });
});
