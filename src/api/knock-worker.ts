/**
 * The thread that receives knocks: whatever is thrown at the port costs the node's own event loop
 * nothing. Only verified knocks leave this thread, in batches.
 *
 * Nothing is ever sent. Checks go from cheap to dear: size and layout, then a budget of signatures a
 * second. While the budget is used up the thread sleeps and the kernel drops what its small buffer cannot
 * hold, which is the cheapest way there is to drop a datagram.
 */
import { createSocket } from "node:dgram";
import { parentPort, workerData } from "node:worker_threads";
import type { VerifiedKnock } from "../node/knocks.ts";
import { isKnockOf, parseKnock } from "../protocol/knock.ts";
import { limits } from "../protocol/limits.ts";
import {
  knockDrops,
  type KnockDrop,
  type KnockMessage,
  type KnockSetup,
} from "./knock-messages.ts";

/** Holds about 80 datagrams. */
const receiveBufferBytes = 64 * 1024;
const sleepMs = 10;
const tellDropsEveryMs = 1_000;
/** Each message wakes the node's own thread, which costs more than the signature. */
const batchMs = 5;

const { host, port, secret, verifiesPerSecond }: KnockSetup = workerData;
const sleeper = new Int32Array(new SharedArrayBuffer(4));
let tokens = verifiesPerSecond;
let refilledMs = performance.now();
let batch: VerifiedKnock[] = [];
const dropped: Record<KnockDrop, number> = { malformed: 0, overBudget: 0, forged: 0 };

function tell(message: KnockMessage): void {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, no window
  parentPort?.postMessage(message);
}

function mayVerify(): boolean {
  const atMs = performance.now();
  tokens = Math.min(verifiesPerSecond, tokens + ((atMs - refilledMs) / 1_000) * verifiesPerSecond);
  refilledMs = atMs;
  if (tokens < 1) return false;
  tokens--;
  return true;
}

function receive(bytes: Buffer): void {
  const knock = bytes.length <= limits.knockBytesMax ? parseKnock(bytes) : undefined;
  if (knock === undefined) dropped.malformed++;
  else if (!mayVerify()) {
    dropped.overBudget++;
    Atomics.wait(sleeper, 0, 0, sleepMs);
  } else if (!isKnockOf(secret, knock.host, bytes)) dropped.forged++;
  else {
    if (batch.length === 0) setTimeout(flush, batchMs);
    batch.push({ host: knock.host, counter: knock.counter });
  }
}

function flush(): void {
  tell({ kind: "knocks", knocks: batch });
  batch = [];
}

function tellDrops(): void {
  if (knockDrops.every((drop) => dropped[drop] === 0)) return;
  tell({ kind: "dropped", counts: { ...dropped } });
  for (const drop of knockDrops) dropped[drop] = 0;
}

const socket = createSocket({
  type: host.includes(":") ? "udp6" : "udp4",
  recvBufferSize: receiveBufferBytes,
});
socket.on("error", (error) => tell({ kind: "failed", message: error.message }));
socket.on("message", receive);
socket.bind({ address: host, port }, () =>
  tell({ kind: "listening", port: socket.address().port }),
);
setInterval(tellDrops, tellDropsEveryMs);
