import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHttpPeers, type Peers } from "../node/peers.ts";
import { helloPath } from "../protocol/sync.ts";
import {
  cluster,
  startTestHost,
  startTestNode,
  until,
  type TestHost,
  type TestNode,
} from "./api-fixture.ts";
import { createFleetServer } from "./fleet-server.ts";
import { silentLogger } from "../kernel/log.ts";

let running: TestNode;
let host: TestHost;
let peers: Peers;

beforeAll(async () => {
  [running, host] = await Promise.all([startTestNode(), startTestHost()]);
  peers = createHttpPeers(cluster);
  const body = { address: host.address };
  await running.api.inject({ method: "PUT", url: "/v1/hosts/h1", payload: body });
  await until(() => host.syncCount() > 0);
});

afterAll(async () => {
  await running.stop();
  await Promise.all([host.stop(), peers.close()]);
});

const hello = (name: string) => ({
  host: name,
  boot: "b1",
  fence: "1.0.1",
  manifest: `sha256:${"0".repeat(64)}`,
});

const say = async (
  body: object | string,
  headers: Record<string, string> = { "coxswain-cluster": cluster },
) => {
  const reply = await running.fleet.inject({
    method: "POST",
    url: helloPath,
    headers: { "content-type": "application/json", ...headers },
    payload: typeof body === "string" ? body : JSON.stringify(body),
  });
  const json = reply.json<{ outcome?: string; error?: { code: string; message: string } }>();
  return {
    status: reply.statusCode,
    outcome: json.outcome,
    code: json.error?.code,
    message: json.error?.message,
  };
};

describe("hello", () => {
  test("of a known host wakes it", async () => {
    const before = host.syncCount();
    expect(await say(hello("h1"))).toMatchObject({ status: 202, outcome: "woken" });
    await until(() => host.syncCount() > before);
  });

  test("of an unknown host is 404", async () => {
    expect(await say(hello("nobody"))).toMatchObject({ status: 404, outcome: "unknownHost" });
  });

  test.each([
    ["another cluster", { "coxswain-cluster": "other" }],
    ["no cluster", {}],
  ])("of %s is refused and wakes nobody", async (_name, headers: Record<string, string>) => {
    const before = host.syncCount();
    expect(await say(hello("h1"), headers)).toMatchObject({
      status: 409,
      code: "CLUSTER_MISMATCH",
    });
    expect(host.syncCount()).toBe(before);
  });

  test.each<[string, object | string, string]>([
    ["no JSON", "{", "REQUEST_INVALID"],
    ["no fields", {}, "REQUEST_INVALID"],
    ["a host that is no text", { ...hello("h1"), host: 7 }, "REQUEST_INVALID"],
    ["a digest that is none", { ...hello("h1"), manifest: "md5:1" }, "REQUEST_INVALID"],
    ["an id that is none", hello("../h1"), "HOST_INVALID"],
    ["a __proto__", '{"__proto__":{"host":"h1"}}', "REQUEST_INVALID"],
  ])("with %s is refused", async (_name, body, code) => {
    expect(await say(body)).toMatchObject({ status: 400, code });
  });

  test("names the field that is wrong", async () => {
    const { message } = await say({ ...hello("h1"), manifest: "md5:1" });
    expect(message).toMatch(/^Expected body\.manifest of a hello: /);
  });

  test("before there is a node is 503", async () => {
    const server = createFleetServer(() => undefined, silentLogger);
    const reply = await server.inject({ method: "POST", url: helloPath, payload: hello("h1") });
    expect(reply.statusCode).toBe(503);
    expect((await server.inject("/healthz")).statusCode).toBe(200);
    await server.close();
  });
});

describe("peers' calls", () => {
  const all = Array.from({ length: 64 }, (_, partition) => partition);

  test("are answered about the hosts served here", async () => {
    const counts = await peers.call(running.fleetUrl, "counts", { partitions: all }, 1_000);
    expect(counts).toMatchObject({ counts: { total: 1 }, unserved: [] });
    const query = { partitions: all, limit: 10, isDetailed: false };
    const { hosts } = await peers.call(running.fleetUrl, "hosts", query, 1_000);
    expect(hosts.map(({ id }) => id)).toEqual(["h1"]);
    const asked = { hosts: [{ id: "h2", address: host.address }] };
    expect(await peers.call(running.fleetUrl, "addresses", asked, 1_000)).toEqual({
      taken: [{ id: "h2", address: host.address, by: "h1" }],
    });
    expect(await peers.call(running.fleetUrl, "hello", { host: "h1" }, 1_000)).toEqual({
      isServed: true,
    });
    expect(await peers.call(running.fleetUrl, "hello", { host: "h2" }, 1_000)).toEqual({
      isServed: false,
    });
    expect(await peers.call(running.fleetUrl, "hint", { partitions: all }, 1_000)).toEqual({});
  });

  test.each<[string, unknown]>([
    ["hint", null],
    ["hint", { partitions: "all" }],
    ["hint", { partitions: [-1] }],
    ["hello", {}],
    ["hello", { host: 7 }],
    ["hosts", { partitions: [1] }],
    ["hosts", { partitions: [1.5], limit: 1, isDetailed: false }],
    ["counts", []],
    ["counts", { partitions: [1], rollout: "app" }],
    ["addresses", { hosts: [null] }],
    ["events", { after: "all" }],
  ])("%s with the body %j are refused with the field's name", async (name, body) => {
    const reply = await running.fleet.inject({
      method: "POST",
      url: `/coxswain/v1/peer/${name}`,
      headers: { "content-type": "application/json", "coxswain-cluster": cluster },
      payload: JSON.stringify(body),
    });
    const { error } = reply.json<{ error: { code: string; message: string } }>();
    expect([reply.statusCode, error.code]).toEqual([400, "REQUEST_INVALID"]);
    expect(error.message).toMatch(/^Expected body/);
  });

  test("of another cluster are refused", async () => {
    const strangers = createHttpPeers("other");
    const names = ["hint", "hello", "hosts", "counts", "addresses"] as const;
    for (const name of names) {
      await expect(strangers.call(running.fleetUrl, name, {}, 1_000)).rejects.toMatchObject({
        code: "MEMBER_UNREACHABLE",
        message: expect.stringContaining("status 409") as string,
      });
    }
    await strangers.close();
  });

  test("probing tells an answer from a refusal", async () => {
    expect(await peers.probe(running.fleetUrl, 1_000)).toBe("answered");
    expect(await peers.probe("http://127.0.99.99:1", 1_000)).toBe("refused");
  });
});
