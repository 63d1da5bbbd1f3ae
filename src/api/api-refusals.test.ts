import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { errorRegistry } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { apiCalls, errorOf, expectAnswer, unknownDigest, type Sent } from "./api-calls.ts";
import { startTestNode, type TestNode } from "./api-fixture.ts";

let running: TestNode;

beforeAll(async () => {
  running = await startTestNode();
});

afterAll(() => running.stop());

const { send, put, publish } = apiCalls(() => running);

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
      "evicting an unknown slot",
      "/v1/members/nobody/evict",
      { method: "POST" },
      404,
      "MEMBER_NOT_FOUND",
    ],
    [
      "evicting the only member",
      "/v1/members/node-1/evict",
      { method: "POST" },
      409,
      "MEMBER_LAST",
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
