import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorRegistry } from "../kernel/errors.ts";
import { silentLogger } from "../kernel/log.ts";
import { createMetrics } from "../kernel/metrics.ts";
import { digestOf } from "../protocol/digest.ts";
import { limits } from "../protocol/limits.ts";
import { defectsOf } from "./answer-check.ts";
import {
  startTestHost,
  startTestNode,
  until,
  type TestHost,
  type TestNode,
} from "./api-fixture.ts";
import { createApiServer } from "./api-server.ts";
import { answerSchemas } from "./schemas.ts";

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

interface Sent {
  readonly method?: "GET" | "PUT" | "POST" | "DELETE" | "PATCH";
  readonly body?: string | Buffer | object;
  readonly type?: string;
  readonly headers?: Record<string, string>;
}

async function send(url: string, { method = "GET", body, type, headers = {} }: Sent = {}) {
  const reply = await running.api.inject({
    method,
    url,
    headers: { ...headers, ...(type === undefined ? {} : { "content-type": type }) },
    ...(body === undefined ? {} : { payload: body }),
  });
  const isJson = String(reply.headers["content-type"]).startsWith("application/json");
  return {
    status: reply.statusCode,
    headers: reply.headers,
    text: reply.body,
    json: isJson ? reply.json<Record<string, unknown>>() : undefined,
  };
}

const put = (id: string, body: object | string, type = "application/json") =>
  send(`/v1/hosts/${id}`, { method: "PUT", body, type });
const importText = (body: string, query = "") =>
  send(`/v1/hosts${query}`, { method: "POST", body, type: "application/x-ndjson" });
const publish = (name: string, content: string | Buffer) =>
  send(`/v1/configs/${encodeURIComponent(name)}/releases`, {
    method: "POST",
    body: content,
    type: "application/octet-stream",
  });

function expectAnswer(json: unknown, name: keyof typeof answerSchemas): void {
  expect(defectsOf(json, answerSchemas[name], answerSchemas)).toEqual([]);
}

/** Addresses that no other test uses; nothing listens there. */
let nextAddress = 0;
const deadAddress = () => `http://127.0.99.${++nextAddress}:1`;
const unknownDigest = `sha256:${"0".repeat(64)}`;

describe("what is refused", () => {
  test.each<[string, string, Sent, number, string]>([
    [
      "JSON that does not parse",
      "/v1/hosts/a",
      { method: "PUT", body: "{", type: "application/json" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "an empty JSON body",
      "/v1/hosts/a",
      { method: "PUT", body: "", type: "application/json" },
      400,
      "REQUEST_INVALID",
    ],
    ["no body where one is needed", "/v1/hosts/a", { method: "PUT" }, 400, "REQUEST_INVALID"],
    [
      "a list instead of an object",
      "/v1/hosts/a",
      { method: "PUT", body: [] },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a JSON body of another media type",
      "/v1/hosts/a",
      { method: "PUT", body: '{"address":"http://127.0.0.1:1"}', type: "text/plain" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a form",
      "/v1/rollouts",
      { method: "POST", body: "config=a", type: "application/x-www-form-urlencoded" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a media type that is none",
      "/v1/rollouts",
      { method: "POST", body: "x", type: "nonsense" },
      400,
      "REQUEST_INVALID",
    ],
    [
      "content as JSON",
      "/v1/configs/a/releases",
      { method: "POST", body: { a: 1 } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "an unknown field",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "http://127.0.0.1:1", lables: {} } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a number as address",
      "/v1/hosts/a",
      { method: "PUT", body: { address: 5 } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a number as label value",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "http://127.0.0.1:1", labels: { a: 1 } } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "null as labels",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "http://127.0.0.1:1", labels: null } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a label called __proto__",
      "/v1/hosts/a",
      {
        method: "PUT",
        body: '{"address":"http://127.0.0.1:1","labels":{"__proto__":"x"}}',
        type: "application/json",
      },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a field called __proto__",
      "/v1/hosts/a",
      {
        method: "PUT",
        body: '{"address":"http://127.0.0.1:1","__proto__":{"admin":true}}',
        type: "application/json",
      },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a constructor with a prototype",
      "/v1/hosts/a",
      {
        method: "PUT",
        body: '{"address":"http://127.0.0.1:1","constructor":{"prototype":{}}}',
        type: "application/json",
      },
      400,
      "REQUEST_INVALID",
    ],
    [
      "an address that is no URL",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "nowhere" } },
      400,
      "HOST_INVALID",
    ],
    [
      "an address with a path",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "http://127.0.0.1:1/x" } },
      400,
      "HOST_INVALID",
    ],
    [
      "an address with credentials",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "http://u:p@127.0.0.1:1" } },
      400,
      "HOST_INVALID",
    ],
    [
      "an address of another scheme",
      "/v1/hosts/a",
      { method: "PUT", body: { address: "file:///etc/passwd" } },
      400,
      "HOST_INVALID",
    ],
    [
      "a host id with a path in it",
      "/v1/hosts/..%2F..%2Fetc",
      { method: "PUT", body: { address: "http://127.0.0.1:1" } },
      400,
      "HOST_INVALID",
    ],
    [
      "an id that contradicts the path",
      "/v1/hosts/a",
      { method: "PUT", body: { id: "b", address: "http://127.0.0.1:1" } },
      400,
      "HOST_INVALID",
    ],
    ["an id that is too long", `/v1/hosts/${"a".repeat(129)}`, {}, 400, "REQUEST_INVALID"],
    ["an id that no router takes", `/v1/hosts/${"a".repeat(600)}`, {}, 400, "REQUEST_INVALID"],
    ["a path that is not decodable", "/v1/hosts/%zz", {}, 400, "REQUEST_INVALID"],
    ["a selector with a loose end", "/v1/hosts?selector=role%3D", {}, 400, "SELECTOR_INVALID"],
    [
      "a selector in a rollout",
      "/v1/rollouts",
      { method: "POST", body: { config: "a", digest: unknownDigest, selector: "a in (" } },
      400,
      "SELECTOR_INVALID",
    ],
    ["an unknown query", "/v1/hosts?selektor=a", {}, 400, "REQUEST_INVALID"],
    ["a query called __proto__", "/v1/hosts?__proto__=a", {}, 400, "REQUEST_INVALID"],
    ["a query given twice", "/v1/hosts?limit=1&limit=2", {}, 400, "REQUEST_INVALID"],
    ["a limit of 0", "/v1/hosts?limit=0", {}, 400, "REQUEST_INVALID"],
    ["a limit above the page", "/v1/hosts?limit=1001", {}, 400, "REQUEST_INVALID"],
    ["a limit that is no number", "/v1/hosts?limit=ten", {}, 400, "REQUEST_INVALID"],
    ["a limit with a fraction", "/v1/hosts?limit=1.5", {}, 400, "REQUEST_INVALID"],
    ["a reachability that there is not", "/v1/hosts?reachability=well", {}, 400, "REQUEST_INVALID"],
    [
      "a flag that is neither",
      "/v1/hosts?dryRun=yes",
      { method: "POST", body: "", type: "application/x-ndjson" },
      400,
      "REQUEST_INVALID",
    ],
    ["an unknown host", "/v1/hosts/nobody", {}, 404, "HOST_NOT_FOUND"],
    ["deleting an unknown host", "/v1/hosts/nobody", { method: "DELETE" }, 404, "HOST_NOT_FOUND"],
    ["syncing an unknown host", "/v1/hosts/nobody/sync", { method: "POST" }, 404, "HOST_NOT_FOUND"],
    ["an unknown config", "/v1/configs/nothing/releases", {}, 404, "CONFIG_NOT_FOUND"],
    [
      "an unknown digest",
      `/v1/configs/nothing/releases/${unknownDigest}`,
      {},
      404,
      "RELEASE_NOT_FOUND",
    ],
    ["a digest of another form", "/v1/configs/nothing/releases/latest", {}, 400, "REQUEST_INVALID"],
    [
      "a rollout of an unknown digest",
      "/v1/rollouts",
      { method: "POST", body: { config: "nothing", digest: unknownDigest } },
      404,
      "RELEASE_NOT_FOUND",
    ],
    [
      "a rollout with an empty digest",
      "/v1/rollouts",
      { method: "POST", body: { config: "nothing", digest: "" } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a rollout without a digest",
      "/v1/rollouts",
      { method: "POST", body: { config: "nothing" } },
      400,
      "REQUEST_INVALID",
    ],
    [
      "a pin to an unknown digest",
      "/v1/hosts/nobody/pins/app",
      { method: "PUT", body: { digest: unknownDigest } },
      404,
      "RELEASE_NOT_FOUND",
    ],
    ["an unknown rollout", "/v1/rollouts/nothing", {}, 404, "ROLLOUT_NOT_FOUND"],
    [
      "undoing an unknown rollout",
      "/v1/rollouts/nothing/undo",
      { method: "POST" },
      404,
      "ROLLOUT_NOT_FOUND",
    ],
    [
      "a config name with ../",
      "/v1/configs/..%2F..%2Fetc%2Fpasswd/releases",
      { method: "POST", body: "x", type: "text/plain" },
      400,
      "CONFIG_INVALID",
    ],
    [
      "a config name with ../ in a rollout",
      "/v1/rollouts",
      { method: "POST", body: { config: "../etc/passwd", digest: null } },
      400,
      "CONFIG_INVALID",
    ],
    [
      "a config name with ../ in a pin",
      "/v1/hosts/a/pins/..%2Fx",
      { method: "PUT", body: { digest: unknownDigest } },
      400,
      "CONFIG_INVALID",
    ],
    ["a path that there is not", "/v1/nothing", {}, 404, "NOT_FOUND"],
    [
      "a method that the path has not",
      "/v1/status",
      { method: "DELETE" },
      405,
      "METHOD_NOT_ALLOWED",
    ],
    ["a placement of a bad id", "/v1/placement?host=..", {}, 400, "HOST_INVALID"],
  ])("%s", async (_name, url, sent, status, code) => {
    const reply = await send(url, sent);
    expect([reply.status, errorOf(reply.json).code]).toEqual([status, code]);
    expect(Object.keys(errorRegistry)).toContain(code);
    expectAnswer(reply.json, "Error");
    expect(errorOf(reply.json).message).not.toBe("");
  });

  test("a JSON body above the limit is refused with its size rule", async () => {
    const reply = await put("a", { address: "x".repeat(limits.apiBodyBytesMax) });
    expect([reply.status, errorOf(reply.json).code]).toEqual([413, "REQUEST_TOO_LARGE"]);
  });

  test("content of exactly the limit is taken, one byte more is refused", async () => {
    const most = Buffer.alloc(limits.contentBytesMax, "a");
    expect((await publish("most", most)).status).toBe(201);
    const reply = await publish("most", Buffer.concat([most, Buffer.from("a")]));
    expect([reply.status, errorOf(reply.json).code]).toEqual([413, "REQUEST_TOO_LARGE"]);
  });

  test("another method is answered with the ones that there are", async () => {
    const reply = await send("/v1/hosts/a", {
      method: "PATCH",
      body: "{",
      type: "application/json",
    });
    expect([reply.status, reply.headers["allow"]]).toEqual([405, "DELETE, GET, HEAD, PUT"]);
  });
});

const errorOf = (json: unknown) =>
  (json as { error: { code: string; message: string; details: Record<string, unknown> } }).error;

describe("hosts", () => {
  test("are registered, changed, left alone and removed", async () => {
    const address = deadAddress();
    const created = await put("h-put", { address, labels: { role: "edge" } });
    expect([created.status, created.json?.["outcome"]]).toEqual([201, "created"]);
    expectAnswer(created.json, "HostRecord");
    expect((await put("h-put", { address, labels: { role: "edge" } })).json?.["outcome"]).toBe(
      "unchanged",
    );
    const updated = await put("h-put", { address, labels: { role: "core" } });
    expect([updated.status, updated.json?.["outcome"]]).toEqual([200, "updated"]);
    const shown = await send("/v1/hosts/h-put");
    expect(shown.json).toMatchObject({
      id: "h-put",
      address,
      labels: { role: "core" },
      owner: "node-1",
    });
    expectAnswer(shown.json, "Host");
    const removed = await send("/v1/hosts/h-put", { method: "DELETE" });
    expect([removed.status, removed.text]).toEqual([204, ""]);
    expect((await send("/v1/hosts/h-put")).status).toBe(404);
  });

  test("an address belongs to one host at a time", async () => {
    const address = deadAddress();
    await put("h-first", { address });
    const reply = await put("h-second", { address });
    expect([reply.status, errorOf(reply.json).code]).toEqual([409, "HOST_ADDRESS_TAKEN"]);
    expect(errorOf(reply.json).details).toEqual({ address, by: "h-first" });
    expect((await send("/v1/hosts/h-second")).status).toBe(404);
    await send("/v1/hosts/h-first", { method: "DELETE" });
    expect((await put("h-second", { address })).status).toBe(201);
  });

  test("an import reports each bad line under its number and takes the others", async () => {
    const [first, second] = [deadAddress(), deadAddress()];
    const reply = await importText(
      [
        JSON.stringify({ id: "i-1", address: first, labels: { set: "import" } }),
        "{",
        "",
        JSON.stringify({ id: "i-2", address: "nowhere" }),
        JSON.stringify({ id: "i-3", address: second, labels: { set: "import" } }),
        JSON.stringify({ id: "i-4", address: second }),
        `{"id":"i-5","address":"${deadAddress()}","labels":{"__proto__":"x"}}`,
        JSON.stringify({ id: "i-6", address: deadAddress(), lables: {} }),
      ].join("\r\n"),
    );
    expect(reply.status).toBe(207);
    expectAnswer(reply.json, "ImportReport");
    expect(reply.json).toMatchObject({ created: 2, updated: 0, unchanged: 0, failed: 5 });
    const errors = reply.json?.["errors"] as { line: number; code: string }[];
    expect(errors.map(({ line, code }) => [line, code])).toEqual([
      [2, "HOST_INVALID"],
      [4, "HOST_INVALID"],
      [6, "HOST_ADDRESS_TAKEN"],
      [7, "HOST_INVALID"],
      [8, "HOST_INVALID"],
    ]);
    const listed = await send("/v1/hosts?selector=set%3Dimport");
    expect(idsOf(listed.json)).toEqual(["i-1", "i-3"]);
  });

  test("an import of one id with other data is refused or taken as asked", async () => {
    const line = (value: string) =>
      JSON.stringify({ id: "twice", address: "http://127.0.98.1:1", labels: { value } });
    expect((await importText(line("a"))).json).toMatchObject({ created: 1 });
    expect((await importText(line("a"), "?onExisting=refuse")).json).toMatchObject({
      unchanged: 1,
    });
    const refused = await importText(line("b"), "?onExisting=refuse");
    expect(refused.json).toMatchObject({ failed: 1, errors: [{ line: 1, code: "HOST_EXISTS" }] });
    expect((await importText(line("b"), "?dryRun=true")).json).toMatchObject({ updated: 1 });
    expect((await send("/v1/hosts/twice")).json).toMatchObject({ labels: { value: "a" } });
    expect((await importText(line("b"))).json).toMatchObject({ updated: 1 });
    expect((await send("/v1/hosts/twice")).json).toMatchObject({ labels: { value: "b" } });
  });

  test("an import of nothing reports nothing", async () => {
    const nothing = { created: 0, updated: 0, unchanged: 0, failed: 0, errors: [] };
    for (const body of ["", "\n\n"]) {
      const reply = await importText(body);
      expect([reply.status, reply.json]).toEqual([200, nothing]);
    }
    expect((await send("/v1/hosts", { method: "POST" })).json).toEqual(nothing);
  });

  test("an import of more hosts than the limit is refused whole", async () => {
    const lines = Array.from({ length: limits.importHostsMax + 1 }, (_, index) =>
      JSON.stringify({
        id: `bulk-${index}`,
        address: `http://127.1.${index >> 8}.${index & 255}:1`,
      }),
    );
    const reply = await importText(lines.join("\n"));
    expect([reply.status, errorOf(reply.json).code]).toEqual([413, "REQUEST_TOO_LARGE"]);
    expect((await send("/v1/hosts/bulk-0")).status).toBe(404);
  });

  test("pages are complete, without repetition, and survive changes in between", async () => {
    const ids = Array.from({ length: 23 }, (_, index) => `page-${String(index).padStart(2, "0")}`);
    const lines = ids.map((id) =>
      JSON.stringify({ id, address: deadAddress(), labels: { set: "page" } }),
    );
    expect((await importText(lines.join("\n"))).json).toMatchObject({ created: 23 });
    const seen: string[] = [];
    let cursor = "";
    for (let pages = 0; pages < 10; pages++) {
      const page = await send(`/v1/hosts?selector=set%3Dpage&limit=5${cursor}`);
      expectAnswer(page.json, "HostPage");
      seen.push(...idsOf(page.json));
      if (page.json?.["next"] === null) break;
      cursor = `&cursor=${String(page.json?.["next"])}`;
      // Behind the cursor: it must shift nothing.
      if (pages === 1) await send("/v1/hosts/page-00", { method: "DELETE" });
    }
    expect(seen).toEqual(ids);
    const exact = await send("/v1/hosts?selector=set%3Dpage&limit=22");
    expect([idsOf(exact.json).length, exact.json?.["next"]]).toEqual([22, null]);
  });

  test("labels and pins with the names of built-in properties are data", async () => {
    const labels = { constructor: "a", toString: "b", hasOwnProperty: "c" };
    expect((await put("h-builtin", { address: deadAddress(), labels })).status).toBe(201);
    const shown = await send("/v1/hosts/h-builtin");
    expect(shown.json?.["labels"]).toEqual(labels);
    expect(idsOf((await send("/v1/hosts?selector=constructor%3Da")).json)).toEqual(["h-builtin"]);
    const digest = (await publish("__proto__", "x")).json?.["digest"];
    const pinned = await send("/v1/hosts/h-builtin/pins/__proto__", {
      method: "PUT",
      body: { digest },
    });
    expect(pinned.status).toBe(200);
    expect(pinned.text).toContain(`"pins":{"__proto__":"${String(digest)}"}`);
    expect((await send("/v1/hosts/h-builtin")).text).toContain(`"configs":[{"name":"__proto__"`);
    await send("/v1/hosts/h-builtin", { method: "DELETE" });
    expect(Object.keys(Object.prototype)).toEqual([]);
  });
});

const idsOf = (json: unknown) => (json as { hosts: { id: string }[] }).hosts.map(({ id }) => id);

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
    expect(list.json).toMatchObject({ rollouts: [{ id: started.json?.["id"] }] });
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

describe("who did it", () => {
  const actors = async (target: string) => {
    const entries = () =>
      running.store
        .dump()
        .filter(({ pk, attributes }) => pk.startsWith("audit#") && attributes["target"] === target);
    await until(() => entries().length > 0);
    return entries().map(({ attributes }) => attributes["actor"]);
  };

  test.each([
    ["audit-none", {}, "api"],
    ["audit-empty", { "coxswain-actor": "" }, "api"],
    ["audit-named", { "coxswain-actor": "ann" }, "ann"],
    ["audit-long", { "coxswain-actor": "x".repeat(5_000) }, "x".repeat(64)],
  ])("is noted within bounds: %s", async (id, headers, actor) => {
    await send(`/v1/hosts/${id}`, { method: "PUT", body: { address: deadAddress() }, headers });
    expect(await actors(id)).toEqual([actor]);
  });

  test("control characters do not get into the audit", async () => {
    const headers = { "coxswain-actor": "a\u009b31mb\tc" };
    await send("/v1/hosts/audit-control", {
      method: "PUT",
      body: { address: deadAddress() },
      headers,
    });
    expect(await actors("audit-control")).toEqual(["a?31mb?c"]);
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
    const metrics = await send("/metrics");
    const lines = metrics.text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(lines.filter((line) => !/^coxswain_\w+(\{[^{}]*\})? -?[\d.e+-]+$/.test(line))).toEqual(
      [],
    );
    expect(lines).toContain("coxswain_partitions_owned 64");
    expect(metrics.text).toContain(
      'coxswain_api_seconds_count{route="/v1/hosts/:id",status="404"}',
    );
    expect(metrics.text).not.toContain("nobody");
  });

  test("before there is a node, operations and readiness say so and health is well", async () => {
    const api = createApiServer({
      node: () => undefined,
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
