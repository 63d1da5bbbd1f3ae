import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { GatewayReader } from "./gateway-reader.ts";

describe("objects behind a web server", () => {
  let server: Server;
  let reader: GatewayReader;
  beforeAll(async () => {
    server = createServer((request, response) => {
      const path = request.url ?? "";
      if (request.headers["if-none-match"] === '"e1"') response.writeHead(304).end();
      else if (path === "/p/x") response.writeHead(200, { etag: '"e1"' }).end("12345");
      else if (path === "/p/cut") {
        response.writeHead(200, { "content-length": "10" }).write("123");
        setImmediate(() => response.destroy());
      } else if (path === "/p/moved") response.writeHead(302, { location: "/p/x" }).end();
      else if (path === "/p/secret") response.writeHead(403).end();
      else response.writeHead(404).end("no");
    });
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    const { port } = server.address() as AddressInfo;
    reader = new GatewayReader(`http://127.0.0.1:${port}/p`, systemClock);
  });
  afterAll(async () => {
    reader.close();
    await new Promise((resolve) => {
      server.close(resolve);
    });
  });

  const get = (key: string, bytesMax = 5, ifNoneMatch?: string) =>
    reader.get(key, { bytesMax, ifNoneMatch });

  it("reads, and reads nothing that it has", async () => {
    const found = await get("x");
    expect(found).toMatchObject({ kind: "value", etag: '"e1"' });
    expect(found.kind === "value" && String(found.bytes)).toBe("12345");
    expect(await get("x", 5, '"e1"')).toEqual({ kind: "notModified" });
    expect(await get("y")).toEqual({ kind: "missing" });
    expect(await get("x", 4)).toEqual({ kind: "tooLarge" });
  });

  it.each([
    ["cut", "OBJECTS_UNAVAILABLE"],
    ["moved", "OBJECTS_UNAVAILABLE"],
    ["secret", "OBJECTS_DENIED"],
  ])("refuses an answer that is %s", async (key, code) => {
    await expect(get(key, 100)).rejects.toMatchObject({ code });
  });

  it("says that nobody listens", async () => {
    const nobody = new GatewayReader("http://127.0.0.1:9/p", systemClock);
    await expect(nobody.get("x", { bytesMax: 1 })).rejects.toMatchObject({
      code: "OBJECTS_UNAVAILABLE",
    });
    nobody.close();
  });
});
