/**
 * The laboratory's fleet: thousands of hosts in one process, one scene at a time. It reports what it counted
 * whenever a bucket of time has passed, and ends by itself when the parent is gone.
 */
import { messageOf } from "../../kernel/errors.ts";
import { createRandom } from "../../kernel/random.ts";
import { FleetCounter } from "./fleet-counter.ts";
import { SceneRun } from "./fleet-side.ts";
import { bucketMs } from "./goodput.ts";
import type { BucketMessage, LabAnswer, LabCommand, Numbered, Ports } from "./lab-messages.ts";
import { isPoll, type Scene } from "./lab-scene.ts";
import { ObjectReaders } from "./object-readers.ts";
import { PollClients } from "./poll-clients.ts";
import { PushedHosts } from "./pushed-hosts.ts";

const bucketTickMs = 10;

interface Hosts {
  connect?(ports: Ports): Promise<void>;
  begin(ports: Ports): void;
  stop(): void;
}

let run: SceneRun | undefined;
let hosts: Hosts | undefined;

async function answer(command: LabCommand): Promise<LabAnswer> {
  switch (command.kind) {
    case "calibrate":
    case "measure":
      throw new Error("Expected the control plane to be asked");
    case "prepare": {
      const { scene } = command;
      run = new SceneRun(scene, new FleetCounter(), createRandom(`lab ${scene.number}`));
      return { kind: "prepared", ports: await prepare(scene, run) };
    }
    case "connect":
      await hosts?.connect?.(command.ports);
      return { kind: "connected" };
    case "begin":
      run?.begin(command.startMs);
      hosts?.begin(command.ports);
      if (run !== undefined) reportBuckets(run);
      return { kind: "begun" };
    case "end":
      run?.stop();
      hosts?.stop();
      run = undefined;
      hosts = undefined;
      return { kind: "ended", renders: [] };
  }
}

async function prepare(scene: Scene, next: SceneRun): Promise<Partial<Ports>> {
  if (isPoll(scene.shape)) {
    const clients = new PollClients(next);
    hosts = { begin: ({ http }) => clients.start(http), stop: () => clients.stop() };
    return {};
  }
  if (scene.shape === "object") {
    const readers = new ObjectReaders(next);
    hosts = { begin: () => readers.start(), stop: () => {} };
    return {};
  }
  const pushed = new PushedHosts(next);
  hosts = {
    connect: ({ http }) => pushed.connect(http),
    begin: ({ knock }) => pushed.start(knock),
    stop: () => pushed.stop(),
  };
  return { hosts: await pushed.listen() };
}

/** Sends the counts of each bucket that has passed; a late look gives its counts to the first of them. */
function reportBuckets(current: SceneRun): void {
  let index = 0;
  const look = () => {
    for (; (index + 1) * bucketMs <= current.atMs; index++) {
      const counts = current.counter.take();
      const message: BucketMessage = { kind: "bucket", scene: current.scene.number, index, counts };
      process.send?.(message);
    }
    current.after(bucketTickMs, look);
  };
  look();
}

process.on("message", ({ id, ...command }: Numbered<LabCommand>) => {
  answer(command).then(
    (said) => process.send?.({ id, ...said }),
    (error: unknown) => process.send?.({ id, kind: "failed", message: messageOf(error) }),
  );
});
process.once("disconnect", () => process.exit(0));
