import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createHttpPeers, type PeerCalls, type Peers } from "./peers.ts";

let server: Server;
let reply: string;
let fleetUrl: string;
let peers: Peers;

beforeEach(async () => {
  server = createServer((_request, response) => {
    response.setHeader("content-type", "application/json");
    response.end(reply);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  fleetUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  peers = createHttpPeers("test");
});

afterEach(async () => {
  await peers.close();
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

const asks: { readonly [Name in keyof PeerCalls]: PeerCalls[Name]["ask"] } = {
  knock: { knocks: [{ host: "h1", counter: "7" }] },
  links: { slot: "b", linked: [], unlinked: [], proof: "" },
  relay: { host: "h1", headers: {}, body: "", deadlineMs: 1, proof: "" },
  poll: { host: "h1", etag: "", held: "" },
  report: { host: "h1", status: 200, body: "{}" },
  hint: { view: true },
  hello: { host: "h1" },
  hosts: { partitions: [1], limit: 1, isDetailed: false },
  counts: { partitions: [1] },
  events: { after: 0 },
  addresses: { hosts: [] },
};
const names = Object.keys(asks) as (keyof PeerCalls)[];
const oldCounts = { total: 1, applied: 1, pending: 0, rejected: 0, unreachable: 0, neverSeen: 0 };

describe("a peer's reply of the wrong shape", () => {
  test.each(names.flatMap((name) => ["null", "[]", '"x"', "{", ""].map((text) => [name, text])))(
    "to %s, %s, is no answer",
    async (name, text) => {
      reply = text;
      const call = name as keyof PeerCalls;
      const asking = peers.call(fleetUrl, call, asks[call], 1_000);
      await expect(asking).rejects.toMatchObject({ code: "MEMBER_UNREACHABLE" });
    },
  );

  test.each<[keyof PeerCalls, object, string]>([
    ["hello", { isServed: "yes" }, "answer.isServed"],
    ["hosts", { hosts: [{ id: 7 }], unserved: [] }, "answer.hosts.0.id"],
    [
      "counts",
      { counts: { ...oldCounts, total: -1 }, problems: [], unserved: [] },
      "answer.counts",
    ],
    ["counts", { counts: oldCounts, problems: [], unserved: ["1"] }, "answer.unserved.0"],
    ["events", { events: [{ type: 1 }], last: 0 }, "answer.events.0.type"],
    ["addresses", { taken: {} }, "answer.taken"],
  ])("to %s names the field", async (name, body, field) => {
    reply = JSON.stringify(body);
    const asking = peers.call(fleetUrl, name, asks[name], 1_000);
    await expect(asking).rejects.toThrow(field);
  });

  test("is not what a peer of another version sends", async () => {
    reply = JSON.stringify({ counts: oldCounts, problems: [], unserved: [], added: 1 });
    const answer = await peers.call(fleetUrl, "counts", asks.counts, 1_000);
    expect(answer).toEqual({ counts: { ...oldCounts, damaged: 0 }, problems: [], unserved: [] });
  });
});
