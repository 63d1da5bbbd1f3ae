/** Promise: a rolling restart under continuous changes loses no change and no host. */
import { setTimeout as sleep } from "node:timers/promises";
import { chaosScenario } from "./scenario.ts";

const betweenChangesMs = 400;

chaosScenario("a rolling restart under continuous changes loses nothing", async (cluster) => {
  const ended = new AbortController();
  const publishing = (async () => {
    while (!ended.signal.aborted) {
      // A node that is just stopping may refuse; the ledger keeps that as unknown.
      await cluster.publish().catch(() => {});
      await sleep(betweenChangesMs);
    }
  })();
  try {
    for (const name of cluster.nodes) {
      await cluster.stop(name);
      await cluster.start(name);
      await cluster.settled();
    }
  } finally {
    ended.abort();
    await publishing;
  }
  await cluster.eventuallyHeld(await cluster.publish());
});
