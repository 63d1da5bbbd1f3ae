/**
 * Hosts that answer to do harm, over real sockets: endless, slow, lying about length or about who they are.
 * Each has its class of failure, costs bounded time and memory, and holds up no other host.
 */
import { createServer as createTcpServer, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import { systemClock } from "../kernel/clock.ts";
import { fuzzRuns, mutatedJson } from "../kernel/hostile-json.ts";
import { manifestDigestOf } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import { closeServers, listen } from "./loopback-servers.ts";
import { classifyExchange, outcomePolicies, type OutcomeKind } from "./outcome.ts";
import { createSocketTransport, type SocketTransport } from "./socket-transport.ts";
import { afterOutcome } from "./status-reducer.ts";
import { newStatus } from "./host-status.ts";

const deadlineMs = 400;
const patienceMs = 5_000;
const manifest = { digest: manifestDigestOf([]), configs: [] };
const expected = { host: "h1" as HostId, manifest: manifest.digest, form: "full" as const };
const right = {
  host: "h1",
  boot: "b1",
  agent: "agent/1",
  fence: "1.2.3",
  view: "7",
  manifest: manifest.digest,
  configs: [],
  state: { load: 1 },
};

const transports: SocketTransport[] = [];
afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.stop();
  await closeServers();
});

function create(): SocketTransport {
  const options = { socketsMax: 64, keepAliveMs: 10_000, connectTimeoutMs: 300 };
  const transport = createSocketTransport(systemClock, options);
  transports.push(transport);
  return transport;
}

type Answer = (socket: Socket) => void;
const hostWith = (answer: Answer) =>
  listen(
    createTcpServer((socket) => {
      socket.once("data", () => answer(socket));
    }),
  );

const json = (fields: object) => JSON.stringify({ ...right, ...fields });
const http = (
  body: string | Buffer,
  headers = "",
  length: number | string = Buffer.byteLength(body),
) =>
  Buffer.concat([
    Buffer.from(`HTTP/1.1 200 OK\r\n${headers}content-length: ${length}\r\n\r\n`),
    Buffer.from(body),
  ]);
const says =
  (bytes: Buffer | string): Answer =>
  (socket) =>
    socket.write(bytes);
const ends =
  (bytes: Buffer | string): Answer =>
  (socket) =>
    socket.end(bytes);

/** Writes `piece` again and again, at once or one byte every 20 ms. */
function endless(start: string, piece: string, isSlow = false): Answer {
  return (socket) => {
    socket.write(start);
    const next = (): void => {
      if (socket.destroyed) return;
      socket.write(piece, () => {
        if (isSlow) systemClock.after(20, next);
        else setImmediate(next);
      });
    };
    next();
  };
}

const ok = "HTTP/1.1 200 OK\r\n";
const chunked = `${ok}transfer-encoding: chunked\r\n\r\n`;
const deep = `{"a":`.repeat(2_000) + "1" + "}".repeat(2_000);
const mega = "x".repeat(64 * 1024);

const hostile: readonly (readonly [string, OutcomeKind, Answer])[] = [
  ["an endless body", "protocol", endless(`${ok}\r\n`, mega)],
  ["endless chunks", "protocol", endless(chunked, `10000\r\n${mega}\r\n`)],
  ["endless headers", "protocol", endless(ok, `a: ${"b".repeat(1_000)}\r\n`)],
  ["endless interim responses", "protocol", endless("", "HTTP/1.1 100 Continue\r\n\r\n")],
  ["an endless status line", "protocol", endless("HTTP/1.1 200 ", mega)],
  ["a status line of a byte now and then", "ambiguous", endless("HTTP/1.1 200 ", "O", true)],
  ["headers of a byte now and then", "ambiguous", endless(`${ok}a: `, "b", true)],
  [
    "a body of a byte now and then",
    "ambiguous",
    endless(`${ok}content-length: 999\r\n\r\n`, "x", true),
  ],
  ["nothing", "ambiguous", () => {}],
  ["a length beyond the body", "ambiguous", says(http(json({}), "", 5_000))],
  ["a length beyond the body, and the end", "ambiguous", ends(http(json({}), "", 5_000))],
  ["a length short of the body", "protocol", says(http(json({}), "", 20))],
  ["a negative length", "protocol", says(http(json({}), "", -1))],
  ["a length of another notation", "protocol", says(http(json({}), "", "0x10"))],
  ["a huge length", "protocol", says(http(json({}), "", "999999999999"))],
  ["two lengths", "protocol", says(http(json({}), "content-length: 5\r\n"))],
  ["a length and chunks", "protocol", says(http(json({}), "transfer-encoding: chunked\r\n"))],
  [
    "a decompression bomb",
    "protocol",
    says(http(gzipSync(Buffer.alloc(32 << 20)), "content-encoding: gzip\r\n")),
  ],
  [
    "damaged gzip",
    "protocol",
    says(http(gzipSync(json({})).subarray(9), "content-encoding: gzip\r\n")),
  ],
  ["another encoding", "protocol", says(http("x", "content-encoding: br\r\n"))],
  ["what is no UTF-8", "protocol", says(http(Buffer.from(json({ boot: "b\xff" }), "latin1")))],
  ["the name of another host", "quarantined", says(http(json({ host: "h2" })))],
  ["a fence that is none", "protocol", says(http(json({ fence: "1e9.-1.x" })))],
  [
    "a fence beyond exact numbers",
    "protocol",
    says(http(json({ fence: "1.99999999999999999999.1" }))),
  ],
  ["a view that is no number", "protocol", says(http(json({ view: "Infinity" })))],
  [
    "a state over its limit",
    "protocol",
    says(http(json({ state: { a: "x".repeat(limits.stateBytesMax) } }))),
  ],
  ["a state that is too deep", "protocol", says(http(json({}).replace('{"load":1}', deep)))],
  ["a body over the limit", "protocol", says(http(json({ state: { a: mega } })))],
];

async function push(transport: SocketTransport, origin: string, withinMs = deadlineMs) {
  const startMs = systemClock.monotonicMs();
  const body = Buffer.from("{}");
  const result = await transport.exchange({
    origin,
    path: "/",
    headers: {},
    body,
    deadlineMs: withinMs,
  });
  const outcome = classifyExchange(result, expected);
  return { outcome, afterMs: systemClock.monotonicMs() - startMs };
}

describe("a host that answers with", () => {
  it.each(hostile)("%s is %s, within the deadline", async (_what, kind, answer) => {
    const transport = create();
    // What has a verdict of its own has it before the deadline, on a busy machine too.
    const withinMs = kind === "ambiguous" ? deadlineMs : patienceMs;
    const { outcome, afterMs } = await push(transport, await hostWith(answer), withinMs);
    expect(outcome.kind).toBe(kind);
    expect(outcome.message).not.toBe("");
    expect(outcome.message.length).toBeLessThanOrEqual(500);
    // Nothing that it said of itself is believed.
    expect(outcome.reply).toBeUndefined();
    expect(outcomePolicies[outcome.kind].retry).toBe("backoff");
    expect(afterMs).toBeLessThan(withinMs + 1_000);
  });
});

describe("hostile hosts, all at once", () => {
  it("hold up no other host, and cost bounded memory", async () => {
    const transport = create();
    const origins = await Promise.all(hostile.map(([, , answer]) => hostWith(answer)));
    const good = await hostWith((socket) => {
      socket.write(http(json({})));
      socket.on("data", () => socket.write(http(json({}))));
    });
    const rss = process.memoryUsage().rss;
    const attacks = Promise.all(origins.map((origin) => push(transport, origin)));
    for (let turn = 0; turn < 10; turn++) {
      expect((await push(transport, good)).outcome.kind).toBe("synced");
    }
    const kinds = (await attacks).map(({ outcome }) => outcome.kind);
    // On a machine that is busy, the deadline may come before the verdict.
    for (const [index, kind] of kinds.entries())
      expect([hostile[index]?.[1], "ambiguous"]).toContain(kind);
    expect(process.memoryUsage().rss - rss).toBeLessThan(200 * 1024 * 1024);
  });
});

describe("a reply that was right until something happened to it", () => {
  it("has an outcome, and leaves a status that can be kept and shown", () => {
    const kinds = new Set<OutcomeKind>();
    const base = { ...right, configs: [{ name: "a", result: "rejected", message: "no" }] };
    const fence = { generation: 1, fleet: 2, host: 3 };
    const sent = { manifest, fence, fenceText: "1.2.3", form: "full" as const };
    const rules = { unreachableFailures: 3, unreachableAfterMs: 1_000, lostAfterMs: 10_000 };
    const context = { rules, draw: 0.5, isVerdictHeld: false };
    fc.assert(
      fc.property(mutatedJson(base), fc.constantFrom(200, 409, 422, 500), (text, status) => {
        const body = Buffer.from(text);
        const result = { kind: "reply" as const, status, retryAfterMs: undefined, body };
        const outcome = classifyExchange(result, expected);
        kinds.add(outcome.kind);
        const after = afterOutcome(newStatus(), outcome, sent, { atMs: 5, wallMs: 5 }, context);
        expect(JSON.stringify(after).length).toBeLessThan(3 * limits.syncReplyBytesMax);
        expect(JSON.stringify(after.state ?? {}).length).toBeLessThanOrEqual(limits.stateBytesMax);
      }),
      fuzzRuns(300),
    );
    for (const kind of ["protocol", "rejected", "stale", "failed"] as const) {
      expect([...kinds]).toContain(kind);
    }
  });
});
