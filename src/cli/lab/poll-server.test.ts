import { once } from "node:events";
import { connect } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { fullTimes, planScenes, sceneOf } from "./lab-plan.ts";
import { hostName, machineMs, type Shape } from "./lab-scene.ts";
import { RenderCounter } from "./paced-renderer.ts";
import { pollRequest, PollServer } from "./poll-server.ts";
import { resultsFixture } from "./results-fixture.ts";

const { options } = resultsFixture();
const stops: (() => void)[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

/** A server whose renders end when `finish` is called; its queue has room for one where it is bounded. */
async function serverOf(shape: Shape) {
  const [play] = planScenes({ ...options, shapes: [shape], loads: [1] }, fullTimes, 0.5);
  if (play === undefined) throw new Error("no scene");
  const small = { ...options, timeoutMs: 20 };
  const scene = sceneOf(play, small, 100, { number: 0, dir: "/none" });
  const waiting: (() => void)[] = [];
  const counter = new RenderCounter();
  const server = new PollServer(scene, (done) => waiting.push(done), counter);
  stops.push(() => server.stop());
  return { port: await server.listen(), waiting, counter };
}

function ask(port: number, host: number, deadlineMs: number) {
  const socket = connect({ host: "127.0.0.1", port });
  stops.push(() => socket.destroy());
  const reply = { text: "" };
  socket.on("data", (bytes: Buffer) => (reply.text += bytes.toString("latin1")));
  socket.on("error", () => socket.destroy());
  socket.on("connect", () => socket.write(pollRequest(hostName(host), deadlineMs)));
  return { socket, reply, closed: once(socket, "close") };
}

const until = async (isThere: () => boolean) => {
  while (!isThere()) await new Promise((resolve) => setImmediate(resolve));
};

describe("the polled control plane", () => {
  it("answers with a config rendered for the host that asked", async () => {
    const { port, waiting } = await serverOf("naive");
    const { reply, closed } = ask(port, 7, machineMs() + 10_000);
    await until(() => waiting.length === 1);
    waiting[0]?.();
    await closed;
    expect(reply.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*host=7 /);
  });

  it("renders for a client that has given up when it is plain, and not when it is hardened", async () => {
    for (const [shape, renders] of [
      ["naive", 2],
      ["hardened", 1],
    ] as const) {
      const { port, waiting } = await serverOf(shape);
      const first = ask(port, 1, machineMs() + 10_000);
      await until(() => waiting.length === 1);
      const second = ask(port, 2, machineMs() - 1);
      await once(second.socket, "connect");
      const third = ask(port, 3, machineMs() + 10_000);
      if (shape === "hardened") await third.closed;
      else await until(() => third.socket.bytesWritten > 0);
      waiting[0]?.();
      await first.closed;
      if (shape === "hardened") await second.closed;
      else await until(() => waiting.length === 2);
      expect(waiting).toHaveLength(renders);
    }
  });

  it("passes over a client that has gone when it is hardened", async () => {
    const { port, waiting } = await serverOf("hardened");
    const first = ask(port, 1, machineMs() + 10_000);
    await until(() => waiting.length === 1);
    const gone = ask(port, 2, machineMs() + 10_000);
    await once(gone.socket, "connect");
    await ask(port, 3, machineMs() + 10_000).closed;
    gone.socket.resetAndDestroy();
    await gone.closed;
    await ask(port, 4, machineMs() + 10_000).closed;
    waiting[0]?.();
    await first.closed;
    const last = ask(port, 5, machineMs() + 10_000);
    await until(() => waiting.length === 2);
    waiting[1]?.();
    await last.closed;
    expect(last.reply.text).toMatch(/^HTTP\/1\.1 200 OK\r\n[^]*host=5 /);
  });

  it("refuses at once what its queue has no room for when it is hardened", async () => {
    const { port, waiting } = await serverOf("hardened");
    ask(port, 1, machineMs() + 10_000);
    await until(() => waiting.length === 1);
    const second = ask(port, 2, machineMs() + 10_000);
    await once(second.socket, "connect");
    const third = ask(port, 3, machineMs() + 10_000);
    await third.closed;
    expect(third.reply.text).toMatch(/^HTTP\/1\.1 503 /);
  });
});
