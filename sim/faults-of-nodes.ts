/** Faults of nodes and of the links between nodes, store and hosts. */
import type { Dice } from "./dice.ts";
import type { SimNode } from "./sim-node.ts";
import type { World } from "./world.ts";

/** A fault that began: what to say, how long it lasts, how it ends. */
export interface Injected {
  readonly text: string;
  readonly durationMs: number;
  readonly undo: () => void;
}

export type Fault = (world: World, dice: Dice) => Injected | undefined;

const deployGapMs = 4_000;
const nothing = () => {};

/** A slot with a process that is neither frozen nor leaving. */
function someNode(world: World, dice: Dice): SimNode | undefined {
  return dice.pick(
    [...world.nodes.values()].filter(
      ({ living }) => living !== undefined && !living.stopping.signal.aborted,
    ),
  );
}

/** Whoever stops nodes by plan waits until they are ready, and leaves one that is. */
function mayBeStopped(world: World, node: SimNode): boolean {
  const ready = [...world.nodes.values()].filter(
    ({ living }) =>
      living !== undefined && !living.stopping.signal.aborted && living.node.readiness().isReady,
  );
  return ready.includes(node) && ready.length > 1;
}

function down(node: SimNode): () => void {
  node.isWanted = false;
  node.kill();
  return () => {
    node.isWanted = true;
    node.start();
  };
}

function freeze(world: World, dice: Dice, durationMs: number, isSuspended: boolean) {
  const node = someNode(world, dice);
  const clock = node?.process?.clock;
  if (node === undefined || clock === undefined) return undefined;
  clock.freeze(isSuspended);
  const what = isSuspended ? "suspended" : "frozen";
  return {
    text: `${node.slot} ${what} for ${Math.round(durationMs)} ms`,
    durationMs,
    undo: () => clock.resume(),
  };
}

/** Cuts between a node and some endpoints, in one or both directions. */
function cutLinks(world: World, dice: Dice, endpoints: (slot: string) => readonly string[]) {
  const { slot } = someNode(world, dice) ?? {};
  if (slot === undefined) return undefined;
  const direction = dice.pick(["both", "out", "in"]) ?? "both";
  const others = endpoints(slot);
  const undos = others.flatMap((other) => [
    ...(direction === "in" ? [] : [world.network.cut(slot, other)]),
    ...(direction === "out" ? [] : [world.network.cut(other, slot)]),
  ]);
  return {
    text: `${slot} cut (${direction}) from ${others.join(" ")}`,
    durationMs: dice.between(2_000, 40_000),
    undo: () => {
      for (const undo of undos) undo();
    },
  };
}

export const nodeFaults = {
  nodeCrash(world, dice) {
    const node = someNode(world, dice);
    if (node === undefined) return undefined;
    const durationMs = dice.between(100, 30_000);
    return { text: `${node.slot} killed`, durationMs, undo: down(node) };
  },
  nodeDeath(world, dice) {
    const all = [...world.nodes.values()];
    const isCalm = all.every(({ living }) => living?.node.readiness().isReady === true);
    const node = isCalm ? dice.pick(all) : undefined;
    if (node === undefined) return undefined;
    const durationMs = dice.between(20_000, 40_000);
    return { text: `${node.slot} killed, nothing else`, durationMs, undo: down(node) };
  },
  nodePause: (world, dice) => freeze(world, dice, dice.between(500, 3_000), false),
  nodeFreeze: (world, dice) => freeze(world, dice, dice.between(4_000, 40_000), false),
  nodeSuspend: (world, dice) => freeze(world, dice, dice.between(500, 30_000), true),
  nodeStarve(world, dice) {
    const node = someNode(world, dice);
    const clock = node?.process?.clock;
    if (node === undefined || clock === undefined) return undefined;
    let isOver = false;
    const stutter = () => {
      if (isOver) return;
      clock.freeze();
      world.timeline.after(dice.between(20, 300), () => {
        if (isOver) return;
        clock.resume();
        world.timeline.after(dice.between(5, 100), stutter);
      });
    };
    stutter();
    const undo = () => {
      isOver = true;
      clock.resume();
    };
    return { text: `${node.slot} starved`, durationMs: dice.between(2_000, 15_000), undo };
  },
  nodeLeave(world, dice) {
    const node = someNode(world, dice);
    if (node === undefined || !mayBeStopped(world, node)) return undefined;
    node.isWanted = false;
    node.stop();
    const undo = () => {
      node.isWanted = true;
      node.start();
    };
    return { text: `${node.slot} told to stop`, durationMs: dice.between(1_000, 40_000), undo };
  },
  nodeDeploy(world) {
    let isOver = false;
    let atMs = 0;
    for (const node of world.nodes.values()) {
      world.timeline.after(atMs, () => {
        if (!isOver && mayBeStopped(world, node)) node.stop();
      });
      atMs += deployGapMs;
    }
    const undo = () => {
      isOver = true;
    };
    return { text: "rolling deploy", durationMs: atMs, undo };
  },
  nodeZombie(world, dice) {
    const node = someNode(world, dice);
    const process = node?.process;
    if (node === undefined || process === undefined) return undefined;
    process.clock.freeze();
    node.disown();
    node.start();
    const text = `${process.name} frozen while another process takes the slot`;
    return { text, durationMs: dice.between(3_000, 60_000), undo: () => process.clock.resume() };
  },
  wallStep(world, dice) {
    const node = someNode(world, dice);
    const byMs = dice.whole(-3_600_000, 3_600_000);
    node?.process?.clock.stepWall(byMs);
    return { text: `${node?.slot} wall clock steps by ${byMs} ms`, durationMs: 0, undo: nothing };
  },
  massCrash(world, dice) {
    const living = [...world.nodes.values()].filter((node) => node.living !== undefined);
    if (living.length < 4 || living.length < world.nodes.size) return undefined;
    const most = living.length - 1;
    const fewest = Math.min(most, Math.floor(living.length / 3) + 2);
    const dying = dice.some(living, dice.whole(fewest, most));
    const undos = dying.map(down);
    const undo = () => {
      for (const each of undos) each();
    };
    const names = dying.map(({ slot }) => slot).join(" ");
    return { text: `killed together: ${names}`, durationMs: dice.between(28_000, 45_000), undo };
  },
  allRestart(world, dice) {
    const undos = [...world.nodes.values()].map(down);
    const undo = () => {
      for (const each of undos) each();
    };
    return { text: "all nodes down", durationMs: dice.between(500, 20_000), undo };
  },
  cutNodeStore: (world, dice) => cutLinks(world, dice, () => ["store"]),
  cutNodeHosts: (world, dice) =>
    cutLinks(world, dice, () =>
      dice
        .some([...world.hosts.values()], dice.whole(1, world.hosts.size))
        .map((host) => host.endpoint),
    ),
  cutNodes: (world, dice) =>
    cutLinks(world, dice, (slot) => {
      const others = [...world.nodes.keys()].filter((other) => other !== slot);
      return dice.some(others, dice.whole(1, others.length));
    }),
  refuseNodes(world, dice) {
    const observer = someNode(world, dice)?.slot;
    const others = [...world.nodes.keys()].filter((slot) => slot !== observer);
    // One observer at a time: two that are wrong in the same way would agree.
    if (observer === undefined || world.network.hasRefusals) return undefined;
    const undos = others.map((other) => world.network.refuse(observer, other));
    const undo = () => {
      for (const each of undos) each();
    };
    const text = `${observer} is refused by a firewall on its way to all other nodes`;
    return { text, durationMs: dice.between(10_000, 60_000), undo };
  },
} satisfies Record<string, Fault>;
