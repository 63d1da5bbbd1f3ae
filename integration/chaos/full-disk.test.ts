/** Promise: hosts with a full disk keep their last config whole, and take the next one when there is room. */
import assert from "node:assert/strict";
import { hostFolders } from "./boxes.ts";
import { chaosScenario } from "./scenario.ts";

const diskBytes = 2 * 1024 * 1024;
const releaseBytes = 64 * 1024;

chaosScenario("hosts with a full disk keep their last config whole", async (cluster) => {
  const small = await cluster.addHosts(8, { diskBytes });
  const before = await cluster.publish();
  await cluster.eventuallyHeld(before);

  const filler = `${hostFolders.data}/filler`;
  await cluster.shell(small, `cat /dev/zero > ${filler} 2>/dev/null || true`);
  assert.match(await cluster.shell(small, `df --output=avail ${hostFolders.data}`), /\s0\s*$/);
  const next = await cluster.publish(undefined, releaseBytes);
  const others = cluster.hostBoxes.filter((box) => box !== small);
  await cluster.eventuallyHeld(next, { in: others, withinMs: 15_000 });
  assert.deepEqual(new Set((await cluster.held([small])).values()), new Set([before]));

  await cluster.shell(small, `rm ${filler}`);
});
