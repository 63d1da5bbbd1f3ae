/** From nothing to running containers: networks, the store, an initialised table, nodes; then hosts. */
import { setTimeout as sleep } from "node:timers/promises";
import { hostBox, initCommand, initEnvironment, nodeBox, nodeNames, storeBox } from "./boxes.ts";
import type { Engine } from "./engine.ts";
import type { FleetPlan } from "./fleet-plan.ts";
import type { Images } from "./images.ts";

const initAttempts = 30;
const initPauseMs = 500;

export async function startNodes(engine: Engine, images: Images, planHash: string): Promise<void> {
  await engine.makeNetworks();
  await engine.makeVolume();
  await engine.start(storeBox(images.store), planHash);
  await init(engine, images);
  await allEnded(nodeNames.map((name) => engine.start(nodeBox(name, images.product), planHash)));
}

/** The hosts must be registered: one that polls and is not known is told to come back in minutes. */
export async function startHosts(
  engine: Engine,
  { product }: Images,
  fleets: readonly FleetPlan[],
  planHash: string,
): Promise<void> {
  await allEnded(
    fleets.map((plan, index) => engine.start(hostBox(index + 1, product, plan), planHash)),
  );
}

/** Java listens some seconds after it says so; a repeated `init` changes nothing. */
async function init(engine: Engine, { product }: Images): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await engine.runOnce(product, initCommand, "store", initEnvironment);
      return;
    } catch (error) {
      if (attempt === initAttempts) throw error;
      await sleep(initPauseMs);
    }
  }
}

/** Throws the first failure, but not before every step has ended: what follows may remove it all. */
async function allEnded(steps: readonly Promise<void>[]): Promise<void> {
  const ended = await Promise.allSettled(steps);
  const failed = ended.find(({ status }) => status === "rejected");
  if (failed?.status === "rejected") throw failed.reason;
}
