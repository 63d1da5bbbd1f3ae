/**
 * The laboratory's control plane: a process of its own that does what the parent says, one scene at a time.
 *
 * An outage is a stand-still: its event loop does not turn, so nothing is accepted, read, rendered or sent,
 * while callers' connections gather in the kernel. It ends by itself when the parent is gone.
 */
import { systemClock } from "../../kernel/clock.ts";
import { messageOf } from "../../kernel/errors.ts";
import { createRender, measureCapacity, type Render, type RenderKind } from "./renderer.ts";
import type { LabAnswer, LabCommand, Numbered, Ports } from "./lab-messages.ts";
import { machineMs, type Scene } from "./lab-scene.ts";
import { createObjectSide } from "./object-side.ts";
import { RenderCounter } from "./paced-renderer.ts";
import { PollServer } from "./poll-server.ts";
import { PushSide } from "./push-side.ts";

interface Side {
  begin(startMs: number, ports: Ports): void;
  stop(): Promise<void> | void;
}

let kind: RenderKind = "cpu";
let render: Render = (done) => done();
let scene: Scene | undefined;
let side: Side | undefined;
let counter = new RenderCounter();
let cancelOutage: (() => void) | undefined;

async function answer(command: LabCommand): Promise<LabAnswer> {
  switch (command.kind) {
    case "calibrate":
      kind = command.render;
      render = createRender(kind, command.renderMs);
      return { kind: "calibrated", ...(await measureCapacity(kind, render, command.forMs)) };
    case "measure":
      return { kind: "calibrated", ...(await measureCapacity(kind, render, command.forMs)) };
    case "prepare":
      scene = command.scene;
      counter = new RenderCounter();
      return { kind: "prepared", ports: await prepare(scene) };
    case "connect":
      return { kind: "connected" };
    case "begin":
      side?.begin(command.startMs, command.ports);
      armOutage(command.startMs);
      return { kind: "begun" };
    case "end":
      cancelOutage?.();
      await side?.stop();
      side = undefined;
      return { kind: "ended", renders: counter.buckets };
  }
}

async function prepare(next: Scene): Promise<Partial<Ports>> {
  switch (next.shape) {
    case "naive":
    case "backoff":
    case "hardened": {
      const server = new PollServer(next, render, counter);
      side = { begin: (startMs) => server.start(startMs), stop: () => server.stop() };
      return { http: await server.listen() };
    }
    case "object": {
      const objects = createObjectSide(next, render, counter);
      side = { begin: (startMs) => objects.start(startMs), stop: () => objects.stop() };
      return {};
    }
    case "push":
    case "reverse":
    case "knock": {
      const push = new PushSide(next, render, counter);
      side = {
        begin: (startMs, ports) => push.start(startMs, ports.hosts),
        stop: () => push.stop(),
      };
      return push.listen();
    }
  }
}

function armOutage(startMs: number): void {
  const trigger = scene?.trigger;
  if (trigger?.kind !== "outage") return;
  const fromMs = startMs + trigger.fromMs;
  cancelOutage = systemClock.after(Math.max(0, fromMs - machineMs()), () => {
    const sleeper = new Int32Array(new SharedArrayBuffer(4));
    Atomics.wait(sleeper, 0, 0, trigger.forMs);
  });
}

process.on("message", ({ id, ...command }: Numbered<LabCommand>) => {
  answer(command).then(
    (said) => process.send?.({ id, ...said }),
    (error: unknown) => process.send?.({ id, kind: "failed", message: messageOf(error) }),
  );
});
process.once("disconnect", () => process.exit(0));
