/**
 * Attaches of hosts at the fleet listener: `GET /coxswain/v1/attach` with `Upgrade: coxswain-reverse`.
 *
 * Thousands may come at once when a node has died, so a refusal costs little and comes first: nothing but
 * a few headers has been read when a busy node says when to come again, and no proof is checked for
 * somebody who is sent away anyway. After `101` the connection is the node's to drive.
 */
import { STATUS_CODES, type IncomingMessage, type Server } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Node } from "../node/node.ts";
import type { AttachVerdict } from "../node/reverse-hosts.ts";
import { authorizationHeader, isBearerOf } from "../protocol/host-key.ts";
import { idPattern, limits } from "../protocol/limits.ts";
import { attachPath, reverseHeaders, reverseProtocol } from "../protocol/reverse.ts";
import { syncHeaders } from "../protocol/sync.ts";

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly headers?: string;
}

const keepAliveDelayMs = 30_000;

/** Serves attaches at `server`; every other upgrade is answered as if it had not been asked for. */
export function acceptAttaches(
  server: Server,
  node: () => Node | undefined,
  secret: Uint8Array | undefined,
): void {
  // Clients of some languages ask for HTTP/2 with every request: those are requests like any other.
  Object.assign(server, {
    shouldUpgradeCallback: (request: IncomingMessage) => isAttach(request),
  });
  server.on("upgrade", (request, duplex, head) => {
    duplex.on("error", onBroken);
    const current = node();
    const refusal = refusalBefore(request, head, current);
    if (refusal !== undefined || current === undefined) {
      refuse(duplex, refusal ?? notReady);
      return;
    }
    if (duplex.destroyed) return;
    const { reverse } = current.shapes;
    const verdict = reverse.judge({
      host: headerOf(request, syncHeaders.host),
      isDirect: headerOf(request, reverseHeaders.direct) === "1",
      isProven: () => isProven(request, secret),
    });
    if (verdict.kind !== "admitted") {
      refuse(duplex, refusalOf(verdict));
      return;
    }
    welcome(duplex, reverse.pingIntervalMs, reverse.lossSpreadMs());
    reverse.attach(verdict.id, duplex);
  });
}

/** Room for so many connections beside those of callers. */
export function makeRoomForLinks(server: Server, links: number): void {
  server.maxConnections += links;
}

/** A connection that breaks while it is refused concerns nobody; one function for all saves memory. */
function onBroken(this: Duplex): void {
  this.destroy();
}

function isAttach(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === reverseProtocol;
}

const notReady: Refusal = {
  status: 503,
  code: "NODE_NOT_READY",
  message: "The node is starting",
  headers: "retry-after: 1\r\n",
};

function refusalBefore(
  request: IncomingMessage,
  head: Buffer,
  node: Node | undefined,
): Refusal | undefined {
  if (request.url !== attachPath || request.method !== "GET" || !isAttach(request)) {
    const message = `Expected GET ${attachPath} with \`Upgrade: ${reverseProtocol}\``;
    return { status: 404, code: "NOT_FOUND", message };
  }
  if (headerBytes(request) > limits.attachHeaderBytesMax) {
    const message = `Expected at most ${limits.attachHeaderBytesMax} bytes of headers`;
    return { status: 431, code: "REQUEST_TOO_LARGE", message };
  }
  // What comes after the headers would be an answer to a question that nobody has asked.
  if (head.length > 0) {
    return { status: 400, code: "REQUEST_INVALID", message: "Expected nothing after the headers" };
  }
  if (node === undefined) return notReady;
  if (headerOf(request, syncHeaders.cluster) !== node.cluster) {
    const message = `Expected header ${syncHeaders.cluster} to be ${node.cluster}`;
    return { status: 403, code: "CLUSTER_MISMATCH", message };
  }
  const host = headerOf(request, syncHeaders.host);
  if (host.length > limits.hostIdCharsMax || !idPattern.test(host)) {
    const message = `Expected header ${syncHeaders.host} to be a host id`;
    return { status: 400, code: "REQUEST_INVALID", message };
  }
  return undefined;
}

function refusalOf(verdict: Exclude<AttachVerdict, { kind: "admitted" }>): Refusal {
  switch (verdict.kind) {
    case "busy":
      return {
        status: 503,
        code: "NODE_BUSY",
        message: "The node has enough to do: come again as told, or go to another",
        headers: `retry-after: ${verdict.retryAfterSeconds}\r\n`,
      };
    case "unproven":
      return {
        status: 401,
        code: "HOST_UNPROVEN",
        message: "Expected the proof of the host's key",
        headers: "www-authenticate: Coxswain\r\n",
      };
    case "unknownHost":
      return {
        status: 404,
        code: "HOST_NOT_FOUND",
        message: "No host of that id has the mode reverse",
      };
    case "moved":
      return {
        status: 307,
        code: "HOST_MOVED",
        message: "Another node owns the host",
        headers: `location: ${verdict.location}\r\n`,
      };
  }
}

function isProven(request: IncomingMessage, secret: Uint8Array | undefined): boolean {
  if (secret === undefined) return true;
  const authorization = request.headers[authorizationHeader];
  return isBearerOf(secret, headerOf(request, syncHeaders.host), authorization);
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return typeof value === "string" ? value : "";
}

function headerBytes({ rawHeaders }: IncomingMessage): number {
  let bytes = 0;
  for (const part of rawHeaders) bytes += part.length + 2;
  return bytes;
}

function welcome(duplex: Duplex, pingMs: number, lossSpreadMs: number): void {
  if (duplex instanceof Socket) {
    duplex.setTimeout(0);
    duplex.setNoDelay(true);
    duplex.setKeepAlive(true, keepAliveDelayMs);
  }
  duplex.write(
    `HTTP/1.1 101 ${STATUS_CODES[101]}\r\nconnection: Upgrade\r\nupgrade: ${reverseProtocol}\r\n` +
      `${reverseHeaders.pingMs}: ${pingMs}\r\n` +
      `${reverseHeaders.lossSpreadMs}: ${lossSpreadMs}\r\n\r\n`,
  );
}

function refuse(duplex: Duplex, { status, code, message, headers = "" }: Refusal): void {
  const body = JSON.stringify({ error: { code, message, details: {} } });
  duplex.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\ncontent-type: application/json\r\n${headers}` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
    () => duplex.destroy(),
  );
}
