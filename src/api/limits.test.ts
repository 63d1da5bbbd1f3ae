/**
 * Every limit at its boundary: what the api takes at the limit a host takes too, and one more is refused by
 * both, so that nothing is accepted at one end that the other must refuse.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { createHost, results } from "../agent/agent-fixture.ts";
import { fullSync, headersOf } from "../agent/sync-builder.ts";
import type { HostId } from "../inventory/host.ts";
import { limits } from "../protocol/limits.ts";
import { classifyExchange } from "../push/outcome.ts";
import { manifestDigestOf } from "../protocol/digest.ts";
import { apiCalls, unknownDigest } from "./api-calls.ts";
import { startTestNode, type TestNode } from "./api-fixture.ts";

let running: TestNode;
beforeAll(async () => {
  running = await startTestNode();
});
afterAll(() => running.stop());

const { send, put, publish, importText } = apiCalls(() => running);

const count = <T>(length: number, make: (index: number) => T): T[] =>
  Array.from({ length }, (_, at) => make(at));
let port = 0;
const address = () => `http://127.0.96.1:${++port}`;
const putLabels = (labels: object) => put("labelled", { address: "http://127.0.95.1:1", labels });
const rollout = (selector: string) =>
  send("/v1/rollouts", { method: "POST", body: { config: "none", digest: null, selector } });
/** An origin of exactly this many characters. */
const longAddress = (chars: number) => {
  const start = "http://";
  const end = ".example:1";
  return start + "a.".repeat(chars).slice(0, chars - start.length - end.length - 1) + "a" + end;
};
const name = (chars: number) => "n".repeat(chars);

/** Status of a full sync of these contents, and what came of it. */
async function syncOf(contents: Record<string, string>, headers: Record<string, string> = {}) {
  const host = await createHost();
  const sync = fullSync("1.1.1", contents);
  const { status, reply } = await host.sync({ ...sync, headers: { ...sync.headers, ...headers } });
  const outcomes = status === 200 ? new Set(Object.values(results(reply))) : new Set<string>();
  return { status, isApplied: outcomes.size === 1 && outcomes.has("applied") };
}

const noConfigs = manifestDigestOf([]);

/** What a node makes of a host's reply with these fields. */
function taken(fields: object): string {
  const reply = {
    host: "h1",
    boot: "b",
    agent: "a",
    fence: "1.1.1",
    view: "1",
    manifest: noConfigs,
    configs: [],
    ...fields,
  };
  const body = Buffer.from(JSON.stringify(reply));
  const expected = { host: "h1" as HostId, manifest: noConfigs, form: "full" } as const;
  return classifyExchange({ kind: "reply", status: 200, retryAfterMs: undefined, body }, expected)
    .kind;
}

const stateOf = (bytes: number) => ({ text: "s".repeat(bytes - '{"text":""}'.length) });
const stateDeep = (depth: number): object => (depth === 1 ? {} : { a: stateDeep(depth - 1) });
async function reported(state: Record<string, unknown>): Promise<unknown> {
  const host = await createHost({ reportState: () => state });
  return (await host.sync(fullSync("1.1.1", {}))).reply.state;
}

/** True where the value of that size is taken; at the limit and one above it. */
type Try = (size: number) => Promise<boolean> | boolean;

const isTaken = async (call: Promise<{ readonly status: number }>) => (await call).status < 300;

const ends: Readonly<Record<string, Readonly<Record<string, Try>>>> = {
  contentBytesMax: {
    api: (bytes) => isTaken(publish("content", Buffer.alloc(bytes, "c"))),
    host: async (bytes) => (await syncOf({ content: "c".repeat(bytes) })).isApplied,
  },
  configNameCharsMax: {
    api: (chars) => isTaken(publish(name(chars), "c")),
    host: async (chars) => (await syncOf({ [name(chars)]: "c" })).isApplied,
    node: (chars) => taken({ configs: [{ name: name(chars), result: "applied" }] }) === "synced",
  },
  configsPerHostMax: {
    api: (size) => {
      const pins = Object.fromEntries(count(size, (at) => [`c${at}`, unknownDigest]));
      const refusedLater = put("pinned", { address: "http://127.0.95.2:1", pins });
      // A right number of pins to a release that there is not is refused for that, or taken.
      return refusedLater.then(({ status }) => status < 300 || status === 404);
    },
    host: async (size) =>
      (await syncOf(Object.fromEntries(count(size, (at) => [`c${at}`, `content ${at}`]))))
        .isApplied,
  },
  hostIdCharsMax: {
    api: (chars) => isTaken(put("h".repeat(chars), { address: address() })),
    "host, for a slot": async (chars) =>
      (await syncOf({ a: "1" }, headersOf({ node: "n".repeat(chars) }))).isApplied,
    node: (chars) => taken({ host: "h".repeat(chars) }) === "quarantined",
  },
  addressCharsMax: { api: (chars) => isTaken(put("far", { address: longAddress(chars) })) },
  labelsPerHostMax: {
    api: (size) => isTaken(putLabels(Object.fromEntries(count(size, (at) => [`l${at}`, "v"])))),
  },
  labelKeyCharsMax: { api: (chars) => isTaken(putLabels({ ["k".repeat(chars)]: "v" })) },
  labelValueCharsMax: { api: (chars) => isTaken(putLabels({ k: "v".repeat(chars) })) },
  selectorCharsMax: {
    api: async (chars) => {
      const values = `${"v".repeat(63)},`.repeat(20).slice(0, chars - "a in (),b".length - 4);
      const selector = `a in (${values.replace(/,$/, "x")})`;
      return (await rollout(selector.padEnd(chars, " "))).status !== 400;
    },
  },
  selectorTermsMax: {
    api: async (size) => (await rollout(count(size, (at) => `a${at}`).join(","))).status !== 400,
  },
  stateBytesMax: {
    host: async (bytes) => "text" in Object(await reported(stateOf(bytes))),
    node: (bytes) => taken({ state: stateOf(bytes) }) === "synced",
  },
  stateDepthMax: {
    host: async (depth) => !("truncated" in Object(await reported(stateDeep(depth) as never))),
    node: (depth) => taken({ state: stateDeep(depth) }) === "synced",
  },
  resultMessageCharsMax: {
    node: (chars) =>
      taken({ configs: [{ name: "a", result: "rejected", message: "m".repeat(chars) }] }) ===
      "rejected",
  },
  pageHostsMax: { api: (size) => isTaken(send(`/v1/hosts?limit=${size}`)) },
  importHostsMax: {
    api: async (size) => {
      const lines = count(size, (at) => `{"id":"i${at}","address":"http://127.0.94.1:${at + 1}"}`);
      return (await importText(lines.join("\n"), "?dryRun=true")).status === 200;
    },
  },
  importBodyBytesMax: { api: (bytes) => isTaken(importText(" ".repeat(bytes))) },
};

describe("a limit is the same at both ends:", () => {
  const rows = Object.entries(ends).flatMap(([limit, tries]) =>
    Object.entries(tries).map(([end, take]) => [limit, end, take] as const),
  );
  test.each(rows)("%s at the %s", async (limit, _end, take) => {
    const most = limits[limit as keyof typeof limits];
    expect(await take(most)).toBe(true);
    expect(await take(most + 1)).toBe(false);
  });

  test("and every one of them is tried, here or where it is named", () => {
    const elsewhere = {
      rulesBytesMax: "inventory/rollouts.test.ts",
      nodesMax: "membership/fold.test.ts",
      hostsPerPartitionMax: "inventory/hosts.test.ts",
      partitionsMin: "store/meta.test.ts",
      partitionsMax: "store/meta.test.ts",
      syncRequestBytesMax: "agent/agent-server.test.ts",
      syncCompressedBytesMax: "agent/agent-server.test.ts",
      syncReplyBytesMax: "push/transport-contract.ts",
      apiBodyBytesMax: "api/http-server.test.ts",
      attachHeaderBytesMax: "api/attach-server.test.ts",
      knockBytesMax: "protocol/knock.test.ts",
      manifestBytesMax: "objects/object-layout.test.ts",
      pointerBytesMax: "objects/object-layout.test.ts",
      statusBytesMax: "objects/object-layout.test.ts",
    };
    expect([...Object.keys(ends), ...Object.keys(elsewhere)].toSorted()).toEqual(
      Object.keys(limits).toSorted(),
    );
  });
});
