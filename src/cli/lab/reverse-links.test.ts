import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, it } from "vitest";
import { attachRequest, ReverseLinks } from "./reverse-links.ts";
import { readSync, syncReply } from "./sync-answer.ts";

const manifest = `sha256:${"b".repeat(64)}`;
const stops: (() => void)[] = [];

afterEach(() => {
  for (const stop of stops.splice(0)) stop();
});

async function opened() {
  const links = new ReverseLinks();
  stops.push(() => links.stop());
  return { links, port: await links.listen() };
}

async function attach(port: number, host: string): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  stops.push(() => socket.destroy());
  socket.on("connect", () => socket.write(attachRequest(host)));
  const [bytes] = (await once(socket, "data")) as [Buffer];
  expect(bytes.toString()).toMatch(/^HTTP\/1\.1 101 /);
  return socket;
}

const syncTo = (host: string, deadlineMs: number) => ({
  origin: "",
  path: "/coxswain/v1/sync",
  headers: { "coxswain-host": host, "coxswain-fence": "1.1.1" },
  body: Buffer.from(JSON.stringify({ manifest })),
  deadlineMs,
});

describe("links that hosts opened", () => {
  it("carry a sync to the host that attached, and its reply back", async () => {
    const { links, port } = await opened();
    const socket = await attach(port, "host-1");
    socket.on("data", (bytes: Buffer) => {
      const sync = readSync(bytes);
      socket.write(syncReply("host-1", sync?.fence ?? "", sync?.manifest ?? ""));
    });
    const result = await links.exchange(syncTo("host-1", 10_000));
    expect(result).toMatchObject({ kind: "reply", status: 200 });
    expect(links.socketCount).toBe(1);
  });

  it("have nothing for a host that did not attach", async () => {
    const { links, port } = await opened();
    await attach(port, "host-1");
    const result = await links.exchange(syncTo("host-2", 10_000));
    expect(result).toMatchObject({ kind: "failed", failure: "detached", sent: false });
  });

  it("are closed where no reply comes in time", async () => {
    const { links, port } = await opened();
    const socket = await attach(port, "host-1");
    const closed = once(socket, "close");
    const result = await links.exchange(syncTo("host-1", 20));
    expect(result).toMatchObject({ kind: "failed", failure: "ambiguous" });
    await closed;
    expect(links.socketCount).toBe(0);
  });

  it("are replaced by a newer one of the same host", async () => {
    const { links, port } = await opened();
    const old = await attach(port, "host-1");
    const closed = once(old, "close");
    await attach(port, "host-1");
    await closed;
    expect(links.socketCount).toBe(1);
  });
});
