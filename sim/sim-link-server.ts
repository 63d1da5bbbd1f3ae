/**
 * The agent's end of a connection that it opened: a stand-in for the adopting part of the agent's HTTP
 * server, which needs the parser of node:http. Requests come one at a time; a ping, a detach and a sync
 * are answered as there, and a release waits for the answer under way.
 */
import type { Duplex } from "node:stream";
import type { Adopted, AdoptedEvents } from "../src/agent/adopted-connections.ts";
import { detachPath, detachSchema, lossSpreadMsOf, pingPath } from "../src/protocol/reverse.ts";
import type { ExchangeResult } from "../src/push/transport.ts";
import type { SimHost } from "./sim-host.ts";

interface LinkRequest {
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

const headEnd = "\r\n\r\n";

export function adoptLink(host: SimHost, socket: Duplex, events?: AdoptedEvents): Adopted {
  let buffer = Buffer.alloc(0);
  let openCount = 0;
  let isReleased = false;
  const answer = (result: ExchangeResult) => {
    openCount--;
    if (socket.destroyed) return;
    if (result.kind === "reply") socket.write(responseOf(result, isReleased));
    if (result.kind !== "reply" || isReleased) socket.destroy();
  };
  const take = ({ path, headers, body }: LinkRequest) => {
    openCount++;
    events?.onHeard(lossSpreadMsOf(headers));
    const isStuck = host.fault?.kind === "tarpit";
    if (path !== pingPath && path !== detachPath) {
      host.receive({ origin: "", path, headers, body, deadlineMs: 0 }, answer, "reverse");
    } else if (!isStuck) {
      answer({ kind: "reply", status: 204, retryAfterMs: undefined, body: Buffer.alloc(0) });
      if (path === detachPath) events?.onDetach(detachSchema.parse(JSON.parse(body.toString())));
    }
  };
  socket.on("data", (bytes: Buffer) => {
    buffer = Buffer.concat([buffer, bytes]);
    for (let found = firstOf(buffer); found !== undefined; found = firstOf(buffer)) {
      buffer = buffer.subarray(found.endsAt);
      take(found.request);
    }
  });
  return {
    release: () => {
      isReleased = true;
      if (openCount === 0) socket.destroy();
    },
  };
}

/** The first request in `bytes`; undefined until all of it is there. */
function firstOf(bytes: Buffer): { request: LinkRequest; endsAt: number } | undefined {
  const headBytes = bytes.indexOf(headEnd);
  if (headBytes === -1) return undefined;
  const [first = "", ...lines] = bytes.toString("latin1", 0, headBytes).split("\r\n");
  const headers = Object.fromEntries(
    lines.map((line) => {
      const colon = line.indexOf(":");
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const bodyAt = headBytes + headEnd.length;
  const endsAt = bodyAt + Number(headers["content-length"] ?? 0);
  if (bytes.length < endsAt) return undefined;
  const [, path = ""] = first.split(" ");
  return { request: { path, headers, body: bytes.subarray(bodyAt, endsAt) }, endsAt };
}

function responseOf(
  { status, retryAfterMs, body }: Extract<ExchangeResult, { kind: "reply" }>,
  isLast: boolean,
): Buffer {
  const retryAfter =
    retryAfterMs === undefined ? "" : `retry-after: ${Math.ceil(retryAfterMs / 1_000)}\r\n`;
  const length = status === 204 ? "" : `content-length: ${body.length}\r\n`;
  const connection = isLast ? "connection: close\r\n" : "";
  const head = `HTTP/1.1 ${status} x\r\n${length}${retryAfter}${connection}\r\n`;
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}
