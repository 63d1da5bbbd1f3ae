/**
 * Knocks at a node: one signed datagram, and no answer (src/protocol/knock.ts).
 *
 * The counter follows the machine's clock, so that it also rises across restarts; where the clock was
 * set back, knocks are ignored until it has caught up, an hour at most.
 */
import { createSocket } from "node:dgram";
import type { Clock } from "../kernel/clock.ts";
import { messageOf } from "../kernel/errors.ts";
import { encodeKnock, knockKeyOf } from "../protocol/knock.ts";
import type { HelloOutcome, SayHello } from "./hello-client.ts";

/** Knocks that fit into one millisecond of the counter. */
const countsPerMs = 1024n;

export function createKnockSender(options: {
  clock: Clock;
  host: string;
  hostKey: Uint8Array;
}): SayHello {
  const knockKey = knockKeyOf(options.hostKey);
  let last = 0n;
  return async (address, { manifest }, signal) => {
    signal.throwIfAborted();
    const byClock = BigInt(Math.floor(options.clock.wallMs())) * countsPerMs;
    last = byClock > last ? byClock : last + 1n;
    return send(address, encodeKnock({ host: options.host, counter: last, manifest }, knockKey));
  };
}

/** `address` is host:port. The socket lives for one datagram: a waiting agent holds none. */
function send(address: string, bytes: Buffer): Promise<HelloOutcome> {
  const colon = address.lastIndexOf(":");
  const host = address.slice(0, colon).replace(/^\[|\]$/g, "");
  const socket = createSocket(host.includes(":") ? "udp6" : "udp4");
  return new Promise((resolve) => {
    const end = (error: Error | null) => {
      socket.close();
      resolve(
        error === null
          ? { kind: "unanswered" }
          : { kind: "unreachable", message: messageOf(error) },
      );
    };
    socket.once("error", end);
    socket.send(bytes, Number(address.slice(colon + 1)), host, end);
  });
}
