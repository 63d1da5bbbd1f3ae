/** Faults of connections that hosts opened, of balancers, of knocks and of the object store. */
import type { Dice } from "./dice.ts";
import type { Fault } from "./faults-of-nodes.ts";
import { deliverKnocks } from "./sim-doors.ts";
import { calmObjects, type ObjectsTrouble } from "./sim-objects.ts";
import type { World } from "./world.ts";

const nothing = () => {};

function troubled(world: World, dice: Dice, text: string, trouble: Partial<ObjectsTrouble>) {
  Object.assign(world.objects.trouble, trouble);
  const calm = Object.fromEntries(
    Object.keys(trouble).map((name) => [name, calmObjects[name as keyof ObjectsTrouble]]),
  );
  const undo = () => Object.assign(world.objects.trouble, calm);
  return { text, durationMs: dice.between(2_000, 60_000), undo };
}

export const modeFaults = {
  /** Everybody arrives again at once. */
  linkStorm(world, dice) {
    const links = [...world.links];
    const broken = dice.chance(0.5) ? links : dice.some(links, dice.whole(1, 6));
    for (const link of broken) link.break();
    return { text: `${broken.length} links break at once`, durationMs: 0, undo: nothing };
  },
  linkHalfOpen(world, dice) {
    const deaf = dice.some([...world.links], dice.whole(1, 6));
    for (const link of deaf) link.isDeaf = true;
    return {
      text: `${deaf.length} links are forgotten on their way`,
      durationMs: 0,
      undo: nothing,
    };
  },
  balancerLies(world, dice) {
    world.balancer.lieRatio = dice.pick([0.2, 0.5, 1]) ?? 1;
    const undo = () => {
      world.balancer.lieRatio = 0;
    };
    const text = `the balancer answers ${world.balancer.lieRatio} of all calls itself`;
    return { text, durationMs: dice.between(3_000, 60_000), undo };
  },
  /** Datagrams that were genuine once: repeated, late, at any node, many at a time. */
  knockFlood(world, dice) {
    const count = dice.pick([20, 200, 1_000]) ?? 20;
    const slots = [...world.nodes.keys()];
    for (let index = 0; index < count; index++) {
      const knock = dice.pick(world.knocks);
      const slot = dice.pick(slots) ?? "";
      if (knock === undefined) return undefined;
      world.timeline.after(dice.between(0, 10_000), () =>
        deliverKnocks(world.nodes.get(slot)?.process, [knock]),
      );
    }
    return { text: `${count} old knocks`, durationMs: 0, undo: nothing };
  },
  objectsOutage: (world, dice) =>
    dice.chance(0.5)
      ? troubled(world, dice, "the object store is silent", { isSilent: true })
      : troubled(world, dice, "the object store refuses", { isRefusing: true }),
  objectsStale: (world, dice) =>
    troubled(world, dice, "objects are stale", { staleRatio: dice.pick([0.2, 0.9]) ?? 0.2 }),
  objectsTruncated: (world, dice) =>
    troubled(world, dice, "objects are cut off", { truncatedRatio: dice.pick([0.2, 0.9]) ?? 0.2 }),
  objectsSlow: (world, dice) =>
    troubled(world, dice, "objects are slow, writes may have no answer", {
      slowRatio: 0.3,
      unknownRatio: 0.3,
    }),
} satisfies Record<string, Fault>;
