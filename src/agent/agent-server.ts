/**
 * The agent's HTTP face: `POST /coxswain/v1/sync` and `GET /healthz`, over TCP or TLS.
 *
 * Everything a stranger controls has a bound: connections, requests under way, header bytes, body
 * bytes before and after decompression, and the time until a request has arrived whole. Kept
 * connections stay open longer than two sweeps, because the side that closes an idle connection
 * first makes the other side's next request fail; that side must be the node.
 */
import {
  createServer as createHttpServer,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from "node:http";
import { createServer as createHttpsServer } from "node:https";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import { gzip } from "node:zlib";
import { CoxswainError, messageOf } from "../kernel/errors.ts";
import type { Logger } from "../kernel/log.ts";
import type { HostMode } from "../protocol/host-mode.ts";
import { syncPath } from "../protocol/sync.ts";
import { AdoptedConnections, type Adopted, type AdoptedEvents } from "./adopted-connections.ts";
import type { AgentCore } from "./agent-core.ts";
import { drain, readJsonBody } from "./request-body.ts";
import { refusal, type Answer } from "./sync-request.ts";

/** PEM texts. With `ca`, only clients with a certificate of that authority are served. */
export interface TlsMaterial {
  readonly key: string;
  readonly cert: string;
  readonly ca?: string;
}

export interface AgentServerOptions {
  /** An address of this machine; port 0 takes any free one. Undefined: only adopted connections are served. */
  readonly listen: { readonly host: string; readonly port: number } | undefined;
  readonly tls?: TlsMaterial | undefined;
  /** Default 30 s: a sync of 16 MiB arrives in that time at 5 Mbit/s. */
  readonly requestTimeoutMs?: number;
  /** Default 10 s, also a bound for the TLS handshake. */
  readonly headersTimeoutMs?: number;
  /** Default 150 s: two sweeps of 60 s and room. */
  readonly keepAliveMs?: number;
  /** Default 64: a few nodes, and their connections of the last minutes. */
  readonly connectionsMax?: number;
  /** Default 8: bodies held in memory at once. */
  readonly syncsMax?: number;
}

export interface AgentServer {
  /** Base URL that reaches this server; empty where it does not listen. */
  readonly url: string;
  /** Serves a connection that the agent opened itself; what secures it is its opener's. */
  adopt(connection: Duplex, events?: AdoptedEvents): Adopted;
  /** Stops accepting, lets requests under way finish, then closes every connection. Idempotent. */
  stop(): Promise<void>;
}

const gzipReply = promisify(gzip);
/** Smaller replies cost more to compress than they save. */
const gzipFromBytes = 1024;

/** Listens; rejects with AGENT_CONFIG_INVALID where the address cannot be bound. */
export async function startAgentServer(
  ports: { core: AgentCore; log: Logger },
  options: AgentServerOptions,
): Promise<AgentServer> {
  const handler = new Handler(ports.core, ports.log, options.syncsMax ?? 8);
  const adopted = new AdoptedConnections();
  // Adopted connections have their TLS behind them: they go to a plain server of their own.
  // They are kept until the node is silent, which the opener watches.
  const adopting = createServer(
    { ...options, tls: undefined, keepAliveMs: 0 },
    (request, response) => {
      if (adopted.took(request, response)) return;
      void handler.handle(request, response, "reverse");
    },
  );
  const servers = [adopting];
  let url = "";
  if (options.listen !== undefined) {
    const server = createServer(options, (request, response) => {
      void handler.handle(request, response, "dial");
    });
    server.maxConnections = options.connectionsMax ?? 64;
    const port = await listen(server, options.listen);
    const host = options.listen.host.includes(":")
      ? `[${options.listen.host}]`
      : options.listen.host;
    url = `${options.tls === undefined ? "http" : "https"}://${host}:${port}`;
    servers.push(server);
  }
  let stopped: Promise<void> | undefined;
  return {
    url,
    adopt: (connection, events) => {
      const one = adopted.add(connection, events);
      adopting.emit("connection", connection);
      return one;
    },
    stop: () => {
      stopped ??= stopServers(servers, handler).then(() => adopted.closeAll());
      return stopped;
    },
  };
}

async function stopServers(servers: readonly Server[], handler: Handler): Promise<void> {
  handler.isStopping = true;
  const closed = servers
    .filter((server) => server.listening)
    .map((server) => promisify(server.close.bind(server))());
  for (const server of servers) server.closeIdleConnections();
  await handler.whenIdle();
  for (const server of servers) server.closeAllConnections();
  await Promise.all(closed);
}

function createServer(
  options: AgentServerOptions,
  onRequest: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const http = {
    requestTimeout: options.requestTimeoutMs ?? 30_000,
    headersTimeout: options.headersTimeoutMs ?? 10_000,
    keepAliveTimeout: options.keepAliveMs ?? 150_000,
    connectionsCheckingInterval: 1_000,
    maxHeaderSize: 8 * 1024,
    noDelay: true,
  };
  if (options.tls === undefined) return createHttpServer(http, onRequest);
  const { key, cert, ca } = options.tls;
  return createHttpsServer(
    {
      ...http,
      key,
      cert,
      minVersion: "TLSv1.2",
      handshakeTimeout: http.headersTimeout,
      ...(ca === undefined ? {} : { ca, requestCert: true, rejectUnauthorized: true }),
    },
    onRequest,
  );
}

class Handler {
  isStopping = false;
  readonly #core: AgentCore;
  readonly #log: Logger;
  readonly #syncsMax: number;
  #syncCount = 0;
  #requestCount = 0;
  #onIdle: (() => void) | undefined;

  constructor(core: AgentCore, log: Logger, syncsMax: number) {
    this.#core = core;
    this.#log = log;
    this.#syncsMax = syncsMax;
  }

  /** Resolves when no request is under way. */
  async whenIdle(): Promise<void> {
    if (this.#requestCount === 0) return;
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
  }

  async handle(request: IncomingMessage, response: ServerResponse, via: HostMode): Promise<void> {
    this.#requestCount++;
    try {
      const answer = await this.#answer(request, via);
      if (!request.complete) await drain(request);
      const isStranger = via === "dial" && !this.#isNode(request);
      await send(request, response, answer, this.isStopping || isStranger);
    } catch (error) {
      // A sender that went away ends here too; nobody is left to answer.
      if (response.destroyed || request.destroyed) {
        this.#log.debug({ error: messageOf(error) }, "request ended early");
      } else {
        this.#log.error({ error: messageOf(error) }, "sync failed unexpectedly");
        await send(request, response, refusal(500, "INTERNAL", "See the agent's log"), true);
      }
    } finally {
      this.#requestCount--;
      if (this.#requestCount === 0) this.#onIdle?.();
    }
  }

  /** Only nodes keep connections: strangers could hold all there are by looking now and then. */
  #isNode(request: IncomingMessage): boolean {
    const [path] = (request.url ?? "").split("?");
    return path === syncPath && this.#core.screen(request.headers) === undefined;
  }

  async #answer(request: IncomingMessage, via: HostMode): Promise<Answer> {
    const [path] = (request.url ?? "").split("?");
    if (path === "/healthz") {
      if (request.method === "GET") return { status: 200, body: { status: "ok" } };
      return refusal(405, "METHOD_NOT_ALLOWED", "Expected GET");
    }
    if (path !== syncPath) return refusal(404, "NOT_FOUND", `Expected the path ${syncPath}`);
    if (request.method !== "POST") return refusal(405, "METHOD_NOT_ALLOWED", "Expected POST");
    if (this.isStopping) {
      return { ...refusal(503, "STOPPING", "The agent is stopping"), retryAfterSeconds: 1 };
    }
    const refused = this.#core.screen(request.headers);
    if (refused !== undefined) return refused;
    // Only what passed the screen counts: strangers with slow bodies must not keep the node out.
    if (this.#syncCount >= this.#syncsMax) {
      return { ...refusal(503, "BUSY", "Too many syncs at once"), retryAfterSeconds: 1 };
    }
    this.#syncCount++;
    try {
      const body = await readJsonBody(request);
      if (body.kind === "refused") return body.answer;
      return await this.#core.handleSync({ headers: request.headers, body: body.json, via });
    } finally {
      this.#syncCount--;
    }
  }
}

async function send(
  request: IncomingMessage,
  response: ServerResponse,
  answer: Answer,
  isLast: boolean,
): Promise<void> {
  let bytes: Buffer = Buffer.from(JSON.stringify(answer.body));
  response.setHeader("content-type", "application/json");
  if (answer.retryAfterSeconds !== undefined) {
    response.setHeader("retry-after", String(answer.retryAfterSeconds));
  }
  if (answer.status === 405) {
    response.setHeader("allow", request.url?.startsWith("/healthz") ? "GET" : "POST");
  }
  if (bytes.length > gzipFromBytes && acceptsGzip(request)) {
    bytes = await gzipReply(bytes, { level: 1 });
    response.setHeader("content-encoding", "gzip");
  }
  response.setHeader("content-length", String(bytes.length));
  // A body that was not read to its end leaves the connection in the middle of a message.
  if (isLast || !request.complete) response.setHeader("connection", "close");
  response.statusCode = answer.status;
  response.end(bytes);
}

function acceptsGzip(request: IncomingMessage): boolean {
  return /\bgzip\b(?!\s*;\s*q=0(?:\.0*)?(?:\s|,|$))/i.test(
    request.headers["accept-encoding"]?.toString() ?? "",
  );
}

function listen(
  server: Server,
  { host, port }: NonNullable<AgentServerOptions["listen"]>,
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause) => {
      reject(
        new CoxswainError(
          "AGENT_CONFIG_INVALID",
          `Expected \`listen\` to be a free address of this machine, got ${host}:${port} (${messageOf(cause)})`,
          { cause },
        ),
      );
    });
    server.listen({ host, port }, () => {
      const address = server.address();
      resolve(typeof address === "object" && address !== null ? address.port : port);
    });
  });
}
