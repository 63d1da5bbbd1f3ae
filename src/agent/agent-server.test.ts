import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { request as httpRequest, type IncomingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { limits } from "../protocol/limits.ts";
import { syncPath } from "../protocol/sync.ts";
import { createHost, good, target } from "./agent-fixture.ts";
import { startAgentServer, type AgentServer, type AgentServerOptions } from "./agent-server.ts";
import { fullSync, headersOf, shortSync } from "./sync-builder.ts";

const servers: AgentServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.stop();
});

async function serve(
  options: Partial<AgentServerOptions> = {},
  hostOptions: Parameters<typeof createHost>[0] = {},
) {
  const host = await createHost(hostOptions);
  const server = await startAgentServer(
    { core: host.core, log: silentLogger },
    { listen: { host: "127.0.0.1", port: 0 }, ...options },
  );
  servers.push(server);
  return { host, server, url: server.url };
}

interface Reply {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

interface Message {
  readonly method?: string;
  readonly path?: string;
  readonly headers?: Record<string, string>;
  readonly body?: Uint8Array;
}

/** One request with exactly these headers and bytes. */
function send(
  url: string,
  {
    method = "POST",
    path = syncPath,
    headers = headersOf(),
    body = new Uint8Array(),
  }: Message = {},
  tls: { ca?: string; key?: string; cert?: string } = {},
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const start = url.startsWith("https") ? httpsRequest : httpRequest;
    const request = start(
      new URL(path, url),
      { method, headers, agent: false, ...tls },
      (reply) => {
        const chunks: Buffer[] = [];
        reply.on("data", (chunk: Buffer) => chunks.push(chunk));
        reply.once("error", reject);
        reply.once("end", () => {
          const { statusCode: status = 0, headers: replyHeaders } = reply;
          resolve({ status, headers: replyHeaders, body: Buffer.concat(chunks) });
        });
      },
    );
    request.once("error", reject);
    request.end(body);
  });
}

function json(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function codeOf({ body }: Reply): unknown {
  const parsed = JSON.parse(body.toString()) as { error?: { code?: string } };
  return parsed.error?.code;
}

const zipped = (fields: Record<string, string> = {}) => ({
  ...headersOf(),
  "content-encoding": "gzip",
  ...fields,
});

describe("what is refused", () => {
  test.each([
    ["another path", { path: "/coxswain/v2/sync" }, 404, "NOT_FOUND"],
    ["another method", { method: "GET" }, 405, "METHOD_NOT_ALLOWED"],
    ["POST /healthz", { path: "/healthz" }, 405, "METHOD_NOT_ALLOWED"],
    ["no headers", { headers: {} }, 400, "BAD_REQUEST"],
    ["wrong cluster", { headers: headersOf({ cluster: "c2" }) }, 403, "WRONG_CLUSTER"],
    ["wrong host", { headers: headersOf({ host: "h2" }) }, 421, "WRONG_HOST"],
    ["no body", {}, 400, "BAD_REQUEST"],
    ["bad JSON", { body: Buffer.from('{"manifest":') }, 400, "BAD_REQUEST"],
    ["JSON that is no sync", { body: Buffer.from("[1]") }, 400, "BAD_REQUEST"],
    ["bad gzip", { headers: zipped(), body: Buffer.from("not gzip") }, 400, "BAD_REQUEST"],
    [
      "another encoding",
      { headers: zipped({ "content-encoding": "br" }), body: Buffer.from("x") },
      415,
      "UNSUPPORTED_ENCODING",
    ],
    [
      "a body over the limit",
      { body: Buffer.alloc(limits.syncRequestBytesMax + 1, " ") },
      413,
      "TOO_LARGE",
    ],
    [
      "a chunked body over the limit",
      {
        headers: { ...headersOf(), "transfer-encoding": "chunked" },
        body: Buffer.alloc(limits.syncRequestBytesMax + 1, " "),
      },
      413,
      "TOO_LARGE",
    ],
    [
      "a decompression bomb",
      { headers: zipped(), body: gzipSync(Buffer.alloc(64 * 1024 * 1024)) },
      413,
      "TOO_LARGE",
    ],
  ])("%s", async (_what, request, status, code) => {
    const { host, url } = await serve();
    const reply = await send(url, request);
    expect([reply.status, codeOf(reply)]).toEqual([status, code]);
    expect(reply.headers["content-type"]).toBe("application/json");
    expect(host.disk.paths()).toEqual([]);
    // The server is as well as before.
    expect((await send(url, { method: "GET", path: "/healthz", headers: {} })).status).toBe(200);
  });

  test("405 names the method that is allowed", async () => {
    const { url } = await serve();
    expect((await send(url, { method: "PUT" })).headers.allow).toBe("POST");
  });

  test("headers over their limit", async () => {
    const { url } = await serve();
    const reply = await send(url, { headers: { ...headersOf(), big: "x".repeat(9 * 1024) } });
    expect(reply.status).toBe(431);
  });

  test.each([
    ["headers", {}],
    ["a body", { "content-length": "10", ...headersOf() }],
  ])("%s that do not arrive in time", async (what, headers) => {
    const { url } = await serve({ requestTimeoutMs: 100, headersTimeoutMs: 100 });
    const lines = Object.entries({ host: "x", ...headers }).map(
      ([name, value]) => `${name}: ${value}`,
    );
    const head = [`POST ${syncPath} HTTP/1.1`, ...lines, ""].join("\r\n");
    const text = await rawExchange(url, what === "headers" ? head : `${head}\r\n{`);
    expect(text).toMatch(/^HTTP\/1.1 408 /);
  });

  test("connections over the cap", async () => {
    const { url } = await serve({ connectionsMax: 1 });
    const first = connect(Number(new URL(url).port), "127.0.0.1");
    await new Promise((resolve) => first.once("connect", resolve));
    await expect(send(url)).rejects.toThrow(/socket hang up|ECONNRESET/);
    first.destroy();
  });

  test("more syncs at once than allowed, with a time to come back", async () => {
    const gate = Promise.withResolvers<void>();
    const { url, host } = await serve(
      { syncsMax: 1 },
      {
        listed: { "a.conf": target({ reload: ["reload"] }) },
        run: async () => {
          await gate.promise;
          return good;
        },
      },
    );
    const first = send(url, { body: json(fullSync("1.1.1", { "a.conf": "one" }).body) });
    await expect.poll(() => host.commands).toEqual(["reload"]);
    const second = await send(url, { body: json(shortSync("1.1.1", {}).body) });
    expect([second.status, codeOf(second)]).toEqual([503, "BUSY"]);
    expect(second.headers["retry-after"]).toBe("1");
    gate.resolve();
    expect((await first).status).toBe(200);
  });
});

describe("what is served", () => {
  test("a sync, plain and gzip, with a gzip reply where it is long and wanted", async () => {
    const { url } = await serve({}, { reportState: () => ({ blob: "x".repeat(4000) }) });
    const sync = fullSync("1.1.1", { "a.conf": "one" });
    const plain = await send(url, { body: json(sync.body) });
    expect(plain.headers["content-encoding"]).toBeUndefined();
    expect(JSON.parse(plain.body.toString())).toMatchObject({ manifest: sync.body.manifest });
    const reply = await send(url, {
      headers: zipped({ "accept-encoding": "gzip" }),
      body: gzipSync(json(sync.body)),
    });
    expect(reply).toMatchObject({ status: 200, headers: { "content-encoding": "gzip" } });
    expect(JSON.parse(gunzipSync(reply.body).toString())).toMatchObject({
      configs: [{ name: "a.conf", result: "unchanged" }],
    });
  });

  test("409 carries the host's own fence", async () => {
    const { url } = await serve();
    await send(url, { headers: headersOf({ fence: "1.5.1" }), body: json(shortSync("", {}).body) });
    const reply = await send(url, {
      headers: headersOf({ fence: "1.4.1" }),
      body: json(shortSync("", {}).body),
    });
    expect(reply.status).toBe(409);
    expect(JSON.parse(reply.body.toString())).toMatchObject({ fence: "1.5.1" });
  });

  test("over TLS, to clients of the authority only where one is named", async () => {
    const folder = await mkdtemp(join(tmpdir(), "coxswain-tls-"));
    try {
      const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
      const certificate = [
        "-nodes",
        "-subj",
        "/CN=agent",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
      ];
      execFileSync(
        "openssl",
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"].concat(
          ["-keyout", key, "-out", cert, "-days", "2"],
          certificate,
        ),
        { stdio: "ignore" },
      );
      const own = { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") };
      const { url } = await serve({ tls: { ...own, ca: own.cert } });
      const body = json(shortSync("1.1.1", {}).body);
      expect((await send(url, { body }, { ...own, ca: own.cert })).status).toBe(200);
      await expect(send(url, { body }, { ca: own.cert })).rejects.toThrow(/certificate|reset/i);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("stop finishes what is under way, closes idle connections and refuses new ones", async () => {
    const gate = Promise.withResolvers<void>();
    const { url, server, host } = await serve(
      {},
      {
        listed: { "a.conf": target({ reload: ["reload"] }) },
        run: async () => {
          await gate.promise;
          return good;
        },
      },
    );
    const idle = connect(Number(new URL(url).port), "127.0.0.1");
    const idleClosed = new Promise((resolve) => idle.once("close", resolve));
    const underWay = send(url, { body: json(fullSync("1.1.1", { "a.conf": "one" }).body) });
    await expect.poll(() => host.commands).toEqual(["reload"]);
    const stopped = server.stop();
    await expect(send(url)).rejects.toThrow("ECONNREFUSED");
    gate.resolve();
    expect(await underWay).toMatchObject({ status: 200, headers: { connection: "close" } });
    await stopped;
    idle.resume();
    await idleClosed;
  });

  test("an address in use is a configuration error that names it", async () => {
    const { url } = await serve();
    const port = Number(new URL(url).port);
    await expect(serve({ listen: { host: "127.0.0.1", port } })).rejects.toMatchObject({
      code: "AGENT_CONFIG_INVALID",
      message: expect.stringContaining(`127.0.0.1:${port} (listen EADDRINUSE`) as unknown,
    });
  });
});

/** Sends `text` on a fresh connection and returns what comes back until it is closed. */
function rawExchange(url: string, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let received = "";
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => socket.write(text));
    socket.on("data", (chunk) => {
      received += chunk.toString();
    });
    socket.once("close", () => resolve(received));
    socket.once("error", reject);
  });
}
