/** Promise: the image runs as an ordinary user that cannot change the program, and says when it is well. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../test-cluster.ts";
import { chaosScenario } from "./scenario.ts";

const healthTimeoutMs = 60_000;
/** Program and dependencies; the base is the deployer's choice. */
const ownBytesMax = 64 * 1024 * 1024;

chaosScenario("the image runs as an ordinary user and says that it is healthy", async (cluster) => {
  for (const name of cluster.nodes) {
    const isWritable = "test -w /app/src/cli/main.ts || test -w /app/node_modules";
    const script = `id -u; if ${isWritable}; then echo writable; fi`;
    assert.equal((await cluster.shell(name, script)).trim(), "1000");
    await eventually(`${name} is healthy`, healthTimeoutMs, async () => {
      if ((await cluster.inspect(name)).health === "healthy") return true;
      await sleep(500);
      return undefined;
    });
  }
  const { ownBytes } = await cluster.inspect("node-1");
  assert(ownBytes < ownBytesMax, `the image adds ${ownBytes} bytes to its base`);
});
