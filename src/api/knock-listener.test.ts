import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, describe, expect, it } from "vitest";
import { digestOf } from "../protocol/digest.ts";
import { hostKeyOf } from "../protocol/host-key.ts";
import { encodeKnock, knockKeyOf } from "../protocol/knock.ts";
import { startKnockListener, type KnockListener } from "./knock-listener.ts";
import type { VerifiedKnock } from "../node/knocks.ts";
import type { KnockDrop } from "./knock-messages.ts";

const secret = Buffer.alloc(32, 7);
const manifest = digestOf(Buffer.from("x"));
const ends: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const end of ends.splice(0)) await end();
});

function knock(host: string, counter: bigint, signedBy = host): Buffer {
  return encodeKnock({ host, counter, manifest }, knockKeyOf(hostKeyOf(secret, signedBy)));
}

async function listen(verifiesPerSecond = 1_000) {
  const knocks: VerifiedKnock[] = [];
  const dropped: Record<KnockDrop, number> = { malformed: 0, overBudget: 0, forged: 0 };
  const listener: KnockListener = await startKnockListener(
    { host: "127.0.0.1", port: 0, secret, verifiesPerSecond },
    {
      onKnocks: (batch) => void knocks.push(...batch),
      onDropped: (counts) => {
        dropped.malformed += counts.malformed;
        dropped.overBudget += counts.overBudget;
        dropped.forged += counts.forged;
      },
      onFailed: () => {},
    },
  );
  ends.push(() => listener.stop());
  return { listener, knocks, dropped };
}

async function client(port: number) {
  const socket: Socket = createSocket("udp4");
  const received: Buffer[] = [];
  socket.on("message", (bytes) => void received.push(bytes));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  ends.push(async () => {
    socket.close();
    await once(socket, "close");
  });
  const send = (bytes: Uint8Array) =>
    new Promise<void>((resolve) => {
      socket.send(bytes, port, "127.0.0.1", () => resolve());
    });
  return { send, received };
}

async function until(isDone: () => boolean): Promise<void> {
  for (let round = 0; round < 200 && !isDone(); round++) await sleep(25);
  expect(isDone()).toBe(true);
}

describe("the knock listener", () => {
  it("passes on what hosts have signed, drops the rest by its reason, and answers nothing", async () => {
    const { listener, knocks, dropped } = await listen();
    const { send, received } = await client(listener.port);
    await send(Buffer.alloc(0));
    await send(Buffer.alloc(257, 1));
    await send(Buffer.concat([knock("h1", 1n), Buffer.alloc(100)]));
    await send(knock("h1", 2n, "h2"));
    await send(knock("h1", 3n));
    await until(() => knocks.length === 1 && dropped.forged === 1 && dropped.malformed === 3);
    expect(knocks).toEqual([{ host: "h1", counter: 3n }]);
    expect(received).toEqual([]);
  });

  it("checks no more signatures a second than its budget", async () => {
    const { listener, knocks, dropped } = await listen(10);
    const { send } = await client(listener.port);
    for (let counter = 1n; counter <= 60n; counter++) await send(knock("h1", counter));
    await until(() => dropped.overBudget > 0);
    expect(knocks.length).toBeGreaterThanOrEqual(10);
    expect(knocks.length).toBeLessThan(40);
  });

  it("refuses a port that is taken, by name", async () => {
    const { listener } = await listen();
    const again = startKnockListener(
      { host: "127.0.0.1", port: listener.port, secret, verifiesPerSecond: 1 },
      { onKnocks: () => {}, onDropped: () => {}, onFailed: () => {} },
    );
    await expect(again).rejects.toMatchObject({
      code: "OPTION_INVALID",
      message: expect.stringContaining("`knockPort` to be a free port of 127.0.0.1"),
    });
  });
});
