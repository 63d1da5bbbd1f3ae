/** The modes of one simulated agent: the shipped mode keeper and drivers, on the doors of the simulated world. */
import { DialDriver } from "../src/agent/dial-driver.ts";
import type { ModeDriver } from "../src/agent/mode-driver.ts";
import { ModeKeeper } from "../src/agent/mode-keeper.ts";
import { ObjectDriver } from "../src/agent/object-driver.ts";
import { PollDriver } from "../src/agent/poll-driver.ts";
import { createReportClient } from "../src/agent/report-client.ts";
import { ReverseDriver } from "../src/agent/reverse-driver.ts";
import { balancerUrl, SimDoors, type DoorsOfWorld } from "./sim-doors.ts";
import type { HostModes } from "./modes.ts";
import type { HostLife } from "./sim-host.ts";
import { adoptLink } from "./sim-link-server.ts";
import { fleetUrlOf } from "./sim-node.ts";
import { SimObjects, type ObjectsOfWorld } from "./sim-objects.ts";

const quietAfterMs = 60_000;

/** Runs until the host's process is gone. */
export function runModes(
  world: {
    readonly doors: DoorsOfWorld;
    readonly objects: ObjectsOfWorld;
    readonly cluster: string;
  },
  { list, isBehindBalancer }: HostModes,
  life: HostLife,
): void {
  const { host, clock, core, random, log } = life;
  const doors = new SimDoors(world.doors, host, clock);
  const nodes = isBehindBalancer ? [balancerUrl] : world.doors.slots().map(fleetUrlOf);
  const ports = { clock, random, log, core };
  const { callNode, attach } = doors;
  const report = createReportClient({ callNode, random, log }, { host: host.id, nodes });
  const timing = { host: host.id, nodes, quietAfterMs, helloSpreadMs: undefined };
  const server = { adopt: adoptLink.bind(undefined, host) };
  const open = () => Promise.resolve(new SimObjects(world.objects, clock, "host"));
  const drivers = list.map((mode): ModeDriver => {
    switch (mode) {
      case "dial":
        return new DialDriver({ ...ports, sayHello: doors.sayHello }, { ...timing, mode });
      case "knock":
        return new DialDriver({ ...ports, sayHello: doors.sayKnock }, { ...timing, mode });
      case "reverse":
        return new ReverseDriver(
          { ...ports, server, attach },
          { nodes, isDirect: !isBehindBalancer },
        );
      case "poll":
        return new PollDriver({ ...ports, callNode, report }, { ...timing, spreadMs: undefined });
      case "object":
        return new ObjectDriver(
          { ...ports, open, report },
          { host: host.id, cluster: world.cluster },
        );
    }
  });
  // A machine is never told to stop; it loses power, and with it its clock.
  void new ModeKeeper({ clock, log }, drivers, { quietAfterMs }).run(new AbortController().signal);
}
