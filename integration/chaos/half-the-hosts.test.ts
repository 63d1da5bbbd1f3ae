/** Promise: half the hosts going away holds up the other half by nothing, and they catch up. */
import { chaosScenario } from "./scenario.ts";

chaosScenario("half the hosts die and come back, the others notice nothing", async (cluster) => {
  const half = cluster.hostBoxes.length / 2;
  const [away, here] = [cluster.hostBoxes.slice(0, half), cluster.hostBoxes.slice(half)];
  await cluster.kill(...away);
  for (let round = 1; round <= 3; round++) {
    const release = await cluster.publish();
    await cluster.eventuallyHeld(release, { in: here, withinMs: 10_000 });
  }
  const last = await cluster.publish();
  await cluster.start(...away);
  await cluster.eventuallyHeld(last);
});
