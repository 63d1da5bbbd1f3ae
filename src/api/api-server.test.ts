import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { digestOf } from "../protocol/digest.ts";
import { apiCalls, deadAddress, errorOf, expectAnswer } from "./api-calls.ts";
import {
  startTestHost,
  startTestNode,
  until,
  type TestHost,
  type TestNode,
} from "./api-fixture.ts";
import { createApiServer } from "./api-server.ts";

let running: TestNode;
let host: TestHost;
let refusing: TestHost;

beforeAll(async () => {
  [running, host, refusing] = await Promise.all([
    startTestNode(),
    startTestHost(),
    startTestHost(["broken.conf"]),
  ]);
});

afterAll(async () => {
  await running.stop();
  await Promise.all([host.stop(), refusing.stop()]);
});

const { send, put, publish } = apiCalls(() => running);

describe("releases and rollouts", () => {
  test("a release is published once and read back byte by byte", async () => {
    const content = Buffer.from([0, 255, 10, 13]);
    const name = "dir/app.bin";
    const first = await publish(name, content);
    expect(first.status).toBe(201);
    expect(first.json).toEqual({ name, digest: digestOf(content), size: 4, isNew: true });
    expectAnswer(first.json, "Published");
    const again = await publish(name, content);
    expect([again.status, again.json?.["isNew"]]).toEqual([200, false]);
    const releases = await send("/v1/configs/dir%2Fapp.bin/releases");
    expectAnswer(releases.json, "ReleaseList");
    expect(releases.json).toMatchObject({ releases: [{ name, digest: digestOf(content) }] });
    const read = await running.api.inject(
      `/v1/configs/dir%2Fapp.bin/releases/${digestOf(content)}`,
    );
    expect(read.rawPayload.equals(content)).toBe(true);
    expect(read.headers["content-type"]).toBe("application/octet-stream");
    const configs = await send("/v1/configs");
    expectAnswer(configs.json, "ConfigList");
    expect(configs.json?.["configs"]).toContainEqual(
      expect.objectContaining({ name, releases: 1 }) as object,
    );
  });

  test("a JSON document is published as it was written, whatever its media type", async () => {
    const content = Buffer.from('{ "a" :  1 }\n');
    const reply = await running.api.inject({
      method: "POST",
      url: "/v1/configs/routes.json/releases",
      headers: { "content-type": "application/json" },
      payload: content,
    });
    expect(reply.json()).toMatchObject({ digest: digestOf(content), size: content.length });
  });

  test("the empty content is a release like any other", async () => {
    const reply = await send("/v1/configs/empty/releases", { method: "POST" });
    expect(reply.json).toMatchObject({ digest: digestOf(new Uint8Array()), size: 0 });
  });

  test("a rollout reaches the hosts, says who refused it and why, and can be undone", async () => {
    await put("r-good", { address: host.address, labels: { set: "rollout" } });
    await put("r-bad", { address: refusing.address, labels: { set: "rollout" } });
    await put("r-dead", { address: deadAddress(), labels: { set: "rollout" } });
    const digest = (await publish("broken.conf", "x")).json?.["digest"];
    const started = await send("/v1/rollouts", {
      method: "POST",
      body: { config: "broken.conf", digest, selector: "set = rollout" },
      headers: { "coxswain-actor": "ann" },
    });
    expect(started.status).toBe(201);
    expectAnswer(started.json, "Rollout");
    expect(started.json).toMatchObject({
      selector: "set=rollout",
      author: "ann",
      state: "running",
    });
    const url = `/v1/rollouts/${String(started.json?.["id"])}`;
    await until(async () => {
      const { counts } = (await send(url)).json as { counts: Record<string, number> };
      return counts["applied"] === 1 && counts["rejected"] === 1;
    });
    const shown = await send(url);
    expectAnswer(shown.json, "Rollout");
    expect(shown.json).toMatchObject({
      counts: { total: 3, applied: 1, rejected: 1 },
      missing: [],
    });
    expect(shown.json?.["problems"]).toContainEqual({
      class: "rejected",
      message: "it does not parse",
      count: 1,
      hosts: ["r-bad"],
    });
    const good = await send("/v1/hosts/r-good");
    expectAnswer(good.json, "Host");
    expect(good.json).toMatchObject({ sync: "applied", reachability: "ok", state: { load: 1 } });
    const bad = await send("/v1/hosts/r-bad");
    expectAnswer(bad.json, "Host");
    const list = await send("/v1/rollouts?limit=1");
    expectAnswer(list.json, "RolloutList");
    expect(list.json).toMatchObject({ rollouts: [{ id: started.json?.["id"], state: "active" }] });
    const undone = await send(`${url}/undo`, { method: "POST" });
    expect([undone.status, undone.json?.["undoes"]]).toEqual([201, started.json?.["id"]]);
    expectAnswer(undone.json, "Rollout");
    expect((await send(url)).json).toMatchObject({ state: "undone" });
    const twice = await send(`${url}/undo`, { method: "POST" });
    expect([twice.status, errorOf(twice.json).code]).toEqual([409, "ROLLOUT_SUPERSEDED"]);
    await until(async () => (await send("/v1/hosts/r-good")).json?.["sync"] === "applied");
  });

  test("a pin goes before the rules and can be taken away", async () => {
    await put("p-1", { address: deadAddress() });
    const digest = (await publish("pinned", "1")).json?.["digest"];
    const pinned = await send("/v1/hosts/p-1/pins/pinned", { method: "PUT", body: { digest } });
    expect(pinned.json).toMatchObject({ id: "p-1", pins: { pinned: digest } });
    expectAnswer(pinned.json, "HostRecord");
    const view = await send("/v1/hosts/p-1");
    expect(view.json).toMatchObject({ desired: { configs: [{ name: "pinned", digest }] } });
    const unpinned = await send("/v1/hosts/p-1/pins/pinned", { method: "DELETE" });
    expect([unpinned.status, unpinned.json?.["pins"]]).toEqual([200, {}]);
  });

  test("a sync is asked for and done", async () => {
    const own = await startTestHost();
    try {
      await put("s-1", { address: own.address });
      await until(() => own.syncCount() > 0);
      await until(async () => (await send("/v1/hosts/s-1")).json?.["sync"] === "applied");
      const before = own.syncCount();
      const reply = await send("/v1/hosts/s-1/sync", { method: "POST" });
      expect([reply.status, reply.json]).toEqual([202, {}]);
      await until(() => own.syncCount() > before);
    } finally {
      await send("/v1/hosts/s-1", { method: "DELETE" });
      await own.stop();
    }
  });
});

describe("the node itself", () => {
  test("status, members and placement are what their schemas say", async () => {
    const status = await send("/v1/status");
    expectAnswer(status.json, "Status");
    expect(status.json).toMatchObject({
      cluster: { id: "test", partitions: 64 },
      node: { slot: "node-1" },
    });
    const { hosts } = status.json as { hosts: Record<string, number> };
    const { total, ...classes } = hosts;
    expect(Object.values(classes).reduce((sum, count) => sum + count, 0)).toBe(total);
    const members = await send("/v1/members");
    expectAnswer(members.json, "Members");
    expect(members.json).toMatchObject({ members: [{ slot: "node-1", partitions: 64 }] });
    const whole = await send("/v1/placement");
    expectAnswer(whole.json, "Placement");
    expect(whole.json).toMatchObject({
      partitions: 64,
      slots: [{ slot: "node-1", partitions: 64 }],
    });
    const one = await send("/v1/placement?host=h-1");
    expectAnswer(one.json, "Placement");
    expect(one.json).toMatchObject({ host: "h-1", owner: "node-1" });
  });

  test("health, readiness and metrics answer", async () => {
    const health = await send("/healthz");
    expectAnswer(health.json, "Health");
    const readiness = await send("/readyz");
    expect([readiness.status, readiness.json?.["member"]]).toEqual([200, "active"]);
    expectAnswer(readiness.json, "Readiness");
    await send("/v1/hosts/nobody");
    // Gauges are set once a second.
    await until(async () =>
      (await send("/metrics")).text.includes("\ncoxswain_partitions_owned 64\n"),
    );
    const metrics = await send("/metrics");
    const lines = metrics.text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(lines.filter((line) => !/^coxswain_\w+(\{[^{}]*\})? -?[\d.e+-]+$/.test(line))).toEqual(
      [],
    );
    expect(metrics.text).toContain(
      'coxswain_api_seconds_count{route="/v1/hosts/:id",status="404"}',
    );
    expect(metrics.text).not.toContain("nobody");
  });

  test("events are streamed to whoever connects", async () => {
    const url = await running.api.listen({ host: "127.0.0.1", port: 0 });
    const reply = await fetch(`${url}/v1/events`);
    expect(reply.headers.get("content-type")).toBe("text/event-stream");
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of reply.body ?? []) {
      text += decoder.decode(chunk as Uint8Array, { stream: true });
      if (/^event: view\.changed\ndata: \{"type":"view\.changed",.*\}\n\n/m.test(text)) break;
    }
    expect(text).toContain('"node":"node-1"');
  });

  test("a node says what doctor asks of it: limits, binds, its clock, and no peers where it is alone", async () => {
    const answer = await send("/v1/doctor");
    expectAnswer(answer.json, "SelfCheck");
    expect(answer.json).toMatchObject({
      slot: "node-1",
      openFilesMax: 1024,
      socketsMax: 4096,
      linksMax: 10_000,
      apiHost: "127.0.0.1",
      fleetHost: "127.0.0.1",
      peers: [],
    });
  });

  test("a node that has not joined is not ready, and lives", async () => {
    const waiting = await startTestNode("away");
    const readiness = await waiting.api.inject("/readyz");
    expect([readiness.statusCode, readiness.json()]).toMatchObject([
      503,
      { isReady: false, member: "joining" },
    ]);
    expectAnswer(readiness.json(), "Readiness");
    expect((await waiting.api.inject("/healthz")).statusCode).toBe(200);
    await waiting.stop();
  });

  test("before there is a node, operations and readiness say so and health is well", async () => {
    const api = createApiServer({
      node: () => undefined,
      selfCheck: () => Promise.reject(new Error("not asked")),
      log: silentLogger,
      metrics: createMetrics(),
      version: "0",
    });
    for (const url of ["/readyz", "/v1/status", "/v1/events"]) {
      const reply = await api.inject(url);
      expect([url, reply.statusCode, errorOf(reply.json()).code]).toEqual([
        url,
        503,
        "NODE_NOT_READY",
      ]);
    }
    expect((await api.inject("/healthz")).statusCode).toBe(200);
    await api.close();
  });
});
