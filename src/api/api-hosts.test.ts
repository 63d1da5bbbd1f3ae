import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { limits } from "../protocol/limits.ts";
import { apiCalls, deadAddress, errorOf, expectAnswer, idsOf } from "./api-calls.ts";
import { startTestNode, until, type TestNode } from "./api-fixture.ts";

let running: TestNode;

beforeAll(async () => {
  running = await startTestNode();
});

afterAll(() => running.stop());

const { send, put, importText, publish } = apiCalls(() => running);

const twiceLine = (value: string) =>
  JSON.stringify({ id: "twice", address: "http://127.0.98.1:1", labels: { value } });

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
    expect((await importText(twiceLine("a"))).json).toMatchObject({ created: 1 });
    expect((await importText(twiceLine("a"), "?onExisting=refuse")).json).toMatchObject({
      unchanged: 1,
    });
    const refused = await importText(twiceLine("b"), "?onExisting=refuse");
    expect(refused.json).toMatchObject({ failed: 1, errors: [{ line: 1, code: "HOST_EXISTS" }] });
    expect((await importText(twiceLine("b"), "?dryRun=true")).json).toMatchObject({ updated: 1 });
    expect((await send("/v1/hosts/twice")).json).toMatchObject({ labels: { value: "a" } });
    expect((await importText(twiceLine("b"))).json).toMatchObject({ updated: 1 });
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
      cursor = `&cursor=${page.json?.["next"] as string}`;
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

const actors = async (target: string) => {
  const entries = () =>
    running.store
      .dump()
      .filter(({ pk, attributes }) => pk.startsWith("audit#") && attributes["target"] === target);
  await until(() => entries().length > 0);
  return entries().map(({ attributes }) => attributes["actor"]);
};

describe("who did it", () => {
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
