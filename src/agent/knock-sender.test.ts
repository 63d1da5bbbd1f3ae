import { createSocket } from "node:dgram";
import { once } from "node:events";
import { expect, test } from "vitest";
import { ManualClock } from "../kernel/manual-clock.ts";
import { digestOf } from "../protocol/digest.ts";
import { hostKeyOf } from "../protocol/host-key.ts";
import { isKnockOf, parseKnock } from "../protocol/knock.ts";
import { createKnockSender } from "./knock-sender.ts";

const secret = Buffer.alloc(32, 7);
const manifest = digestOf(Buffer.from("x"));
const hello = { host: "h1", boot: "b", fence: "1.1.1", manifest };
const never = new AbortController().signal;
const senderOf = (clock: ManualClock) =>
  createKnockSender({ clock, host: "h1", hostKey: hostKeyOf(secret, "h1") });

test("a knock arrives signed, with a counter that rises even where the clock stands still", async () => {
  const socket = createSocket("udp4");
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  try {
    const say = senderOf(new ManualClock());
    const counters: bigint[] = [];
    for (let round = 0; round < 3; round++) {
      const arrived = once(socket, "message");
      const outcome = await say(`127.0.0.1:${socket.address().port}`, hello, never);
      expect(outcome).toEqual({ kind: "unanswered" });
      const [bytes] = await arrived;
      expect(isKnockOf(secret, "h1", bytes)).toBe(true);
      expect(parseKnock(bytes)).toMatchObject({ host: "h1", manifest });
      counters.push(parseKnock(bytes)?.counter ?? -1n);
    }
    expect(counters).toEqual(counters.toSorted((left, right) => (left < right ? -1 : 1)));
    expect(new Set(counters).size).toBe(3);
  } finally {
    socket.close();
    await once(socket, "close");
  }
});

test("an address that cannot be reached is an outcome, not an exception", async () => {
  const say = senderOf(new ManualClock());
  expect(await say("no-such-host.invalid:7402", hello, never)).toMatchObject({
    kind: "unreachable",
  });
});

test("an agent that stops does not knock", async () => {
  const say = senderOf(new ManualClock());
  const stopping = AbortSignal.abort(new Error("stopping"));
  await expect(say("127.0.0.1:1", hello, stopping)).rejects.toThrow("stopping");
});
