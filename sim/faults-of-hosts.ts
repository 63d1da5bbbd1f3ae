/** Faults of hosts and of the store as a whole. */
import type { Dice } from "./dice.ts";
import type { Fault } from "./faults-of-nodes.ts";
import type { HostFault, SimHost } from "./sim-host.ts";
import type { World } from "./world.ts";

function someHost(world: World, dice: Dice): SimHost | undefined {
  return dice.pick([...world.hosts.values()].filter((host) => host.isHealthy));
}

function sick(world: World, dice: Dice, draw: () => HostFault) {
  const hosts = dice.some([...world.hosts.values()], dice.whole(1, 6));
  for (const host of hosts) host.fault ??= draw();
  const kind = hosts[0]?.fault?.kind ?? "nothing";
  return {
    text: `${kind}: ${hosts.map(({ id }) => id).join(" ")}`,
    durationMs: dice.between(3_000, 40_000),
    undo: () => {
      for (const host of hosts) host.fault = undefined;
    },
  };
}

/** Power off now, on again when the fault is undone. */
function powerCut(host: SimHost, hasAmnesia: boolean): () => void {
  host.crash(hasAmnesia);
  return () => void host.start();
}

export const hostFaults = {
  storeOutage(world, dice) {
    const isSilent = dice.chance(0.5);
    if (isSilent) world.trouble.isDown = true;
    else world.trouble.isRefusing = true;
    return {
      text: `store ${isSilent ? "does not answer" : "refuses everything"}`,
      durationMs: dice.between(2_000, 45_000),
      undo: () => {
        world.trouble.isDown = false;
        world.trouble.isRefusing = false;
        world.outageEndedMs = world.timeline.nowMs;
      },
    };
  },
  storeWipe(world) {
    if (!world.loseTable([])) return undefined;
    return { text: "the table is emptied", durationMs: 0, undo: () => {} };
  },
  storeRollback(world, dice) {
    const dump = dice.pick(world.dumps);
    if (dump === undefined) return undefined;
    if (!world.loseTable(dump.items)) return undefined;
    const seconds = Math.round((world.timeline.nowMs - dump.atMs) / 1_000);
    return { text: `the table as of ${seconds} s ago`, durationMs: 0, undo: () => {} };
  },
  hostCrash(world, dice) {
    const hosts = dice.some(
      [...world.hosts.values()].filter((host) => host.isUp),
      dice.chance(0.2) ? world.hosts.size : dice.whole(1, 4),
    );
    for (const host of hosts) host.disk.faults.survives = () => dice.chance(0.5);
    const undos = hosts.map((host) => powerCut(host, false));
    return {
      text: `power off: ${hosts.map(({ id }) => id).join(" ")}`,
      durationMs: dice.between(100, 30_000),
      undo: () => {
        for (const undo of undos) undo();
      },
    };
  },
  hostMidApplyCrash(world, dice) {
    const host = someHost(world, dice);
    if (host === undefined) return undefined;
    host.disk.faults.stepsUntilCrash = dice.whole(0, 40);
    host.disk.faults.survives = () => dice.chance(0.5);
    return {
      text: `${host.id} loses power after ${host.disk.faults.stepsUntilCrash} disk steps`,
      durationMs: dice.between(1_000, 30_000),
      undo: () => {
        host.disk.faults.stepsUntilCrash = Infinity;
        if (!host.isUp) void host.start();
      },
    };
  },
  hostAmnesia(world, dice) {
    const host = someHost(world, dice);
    if (host === undefined) return undefined;
    const durationMs = dice.between(100, 20_000);
    return { text: `${host.id} loses its disk`, durationMs, undo: powerCut(host, true) };
  },
  hostFullDisk(world, dice) {
    const hosts = dice.some([...world.hosts.values()], dice.whole(1, 5));
    const disks = hosts.map(({ disk }) => disk);
    for (const disk of disks) disk.faults.capacityBytes = dice.whole(0, 4_000);
    return {
      text: `full disk: ${hosts.map(({ id }) => id).join(" ")}`,
      durationMs: dice.between(3_000, 90_000),
      undo: () => {
        for (const disk of disks) disk.faults.capacityBytes = Infinity;
      },
    };
  },
  hostPause(world, dice) {
    const hosts = dice.some([...world.hosts.values()], dice.whole(1, 5));
    const clocks = hosts.map(({ clock }) => clock);
    for (const clock of clocks) clock.freeze();
    return {
      text: `paused: ${hosts.map(({ id }) => id).join(" ")}`,
      durationMs: dice.between(500, 60_000),
      undo: () => {
        for (const clock of clocks) clock.resume();
      },
    };
  },
  hostTarpit: (world, dice) =>
    sick(world, dice, () => ({ kind: "tarpit", isExecuting: dice.chance(0.5) })),
  hostErrors: (world, dice) =>
    sick(world, dice, () => ({
      kind: "status",
      status: dice.pick([500, 502, 503, 429]) ?? 500,
      retryAfterMs: dice.chance(0.3) ? dice.whole(1, 10) * 1_000 : undefined,
    })),
  hostGarbage: (world, dice) =>
    sick(world, dice, () => ({ kind: dice.chance(0.5) ? "garbage" : "endless" })),
} satisfies Record<string, Fault>;
