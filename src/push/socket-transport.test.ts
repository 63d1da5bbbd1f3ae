import { execFileSync } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer as createTlsServer } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterEach, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { closeServers, httpOrigin, listen } from "./loopback-servers.ts";
import {
  createSocketTransport,
  type SocketTransport,
  type SocketTransportOptions,
} from "./socket-transport.ts";
import { testTransport } from "./transport-contract.ts";

testTransport("the socket transport", createSocketTransport);

const transports: SocketTransport[] = [];

afterEach(async () => {
  for (const transport of transports.splice(0)) await transport.stop();
  await closeServers();
});

function create(parts: Partial<SocketTransportOptions>): SocketTransport {
  const options = { socketsMax: 10, keepAliveMs: 60_000, connectTimeoutMs: 1_000, ...parts };
  const transport = createSocketTransport(systemClock, options);
  transports.push(transport);
  return transport;
}

function exchange(transport: SocketTransport, origin: string) {
  const body = Buffer.from("{}");
  return transport.exchange({ origin, path: "/", headers: {}, body, deadlineMs: 2_000 });
}

/** A certificate for 127.0.0.1 that is its own authority. */
async function certificate(): Promise<{ readonly key: string; readonly cert: string }> {
  const folder = await mkdtemp(join(tmpdir(), "coxswain-tls-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  try {
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    const subject = ["-subj", "/CN=agent", "-addext", "subjectAltName=IP:127.0.0.1"];
    const files = ["-keyout", key, "-out", cert, "-days", "2"];
    execFileSync("openssl", ["req", "-x509", ...kind, ...subject, ...files], { stdio: "ignore" });
    return { key: await readFile(key, "utf8"), cert: await readFile(cert, "utf8") };
  } finally {
    await rm(folder, { recursive: true });
  }
}

describe("over TLS, the socket transport", () => {
  it("shows its certificate, resumes sessions, and reports a refusal as tls", async () => {
    const own = await certificate();
    const tls = { ...own, ca: own.cert };
    const reused: boolean[] = [];
    const server = createTlsServer({ ...tls, requestCert: true }, (request, response) => {
      reused.push((request.socket as TLSSocket).isSessionReused());
      response.setHeader("connection", "close");
      response.end("secret");
    });
    const origin = (await listen(server)).replace("http:", "https:");
    const known = create({ tls });
    const body = Buffer.from("secret");
    expect(await exchange(known, origin)).toMatchObject({ status: 200, body });
    expect(await exchange(known, origin)).toMatchObject({ status: 200, body });
    expect(reused).toEqual([false, true]);
    const withoutCertificate = create({ tls: { ca: own.cert } });
    expect(await exchange(withoutCertificate, origin)).toMatchObject({ failure: "tls" });
    const withoutAuthority = create({});
    expect(await exchange(withoutAuthority, origin)).toMatchObject({ failure: "tls", sent: false });
  });

  it("refuses certificates that cannot be read before it pushes", () => {
    expect(() => create({ tls: { cert: "no certificate" } })).toThrow("PEM");
  });
});

describe("the socket transport", () => {
  it("does not use a connection again that was idle long enough", async () => {
    const ports = new Set<number | undefined>();
    const origin = await httpOrigin((request, response) => {
      ports.add(request.socket.remotePort);
      response.end();
    });
    const transport = create({ keepAliveMs: 1 });
    await exchange(transport, origin);
    await systemClock.sleep(5);
    await exchange(transport, origin);
    expect(ports.size).toBe(2);
  });

  it("does not send what was cancelled in the same turn", async () => {
    let requests = 0;
    const origin = await httpOrigin((_request, response) => {
      requests++;
      response.end();
    });
    const transport = create({});
    await exchange(transport, origin);
    const abort = new AbortController();
    const request = { origin, path: "/", headers: {}, body: undefined, deadlineMs: 2_000 };
    const cancelled = transport.exchange(request, abort.signal);
    abort.abort();
    expect(await cancelled).toMatchObject({ failure: "local", sent: false });
    expect(await exchange(transport, origin)).toMatchObject({ status: 200 });
    expect(requests).toBe(2);
  });

  it("opens no connection for what was cancelled in the same turn", async () => {
    const server = createServer((socket) => socket.destroy());
    let connections = 0;
    server.on("connection", () => connections++);
    const origin = await listen(server);
    const transport = create({});
    const abort = new AbortController();
    const request = { origin, path: "/", headers: {}, body: undefined, deadlineMs: 2_000 };
    const cancelled = transport.exchange(request, abort.signal);
    abort.abort();
    expect(await cancelled).toMatchObject({ failure: "local", sent: false });
    await exchange(transport, origin);
    expect(connections).toBe(1);
    expect(transport.socketCount).toBe(0);
  });

  it("keeps replies apart that come in pieces, in turn from many hosts", async () => {
    const bodies = Array.from({ length: 9 }, (_, index) => String(index).repeat(2_000));
    const transport = create({});
    const replies = await Promise.all(
      bodies.map(async (text) => {
        const origin = await httpOrigin((_request, response) => {
          response.setHeader("content-length", text.length);
          const write = (start: number) => {
            if (start < text.length) {
              response.write(text.slice(start, start + 100), () =>
                setImmediate(write, start + 100),
              );
            } else response.end();
          };
          write(0);
        });
        return exchange(transport, origin);
      }),
    );
    expect(replies.map((reply) => (reply.kind === "reply" ? String(reply.body) : reply))).toEqual(
      bodies,
    );
  });

  it("closes connections that were idle long enough", async () => {
    const origin = await httpOrigin((_request, response) => response.end());
    const transport = create({ keepAliveMs: 1 });
    await exchange(transport, origin);
    expect(transport.socketCount).toBe(1);
    await expect.poll(() => transport.socketCount, { timeout: 3_000 }).toBe(0);
  });
});
