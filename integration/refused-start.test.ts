import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmbeddedStore, type EmbeddedStore } from "../src/store/embedded-store.ts";
import { openStore } from "../src/store/open-store.ts";
import { keys } from "../src/store/store.ts";
import { runCoxswain } from "./run-command.ts";
import { callApi, eventually, TestNode } from "./test-cluster.ts";

describe("a node or init that must not start", () => {
  let store: EmbeddedStore;
  const flags = (table: string) => ["--store-endpoint", store.endpoint, "--store-table", table];
  beforeAll(async () => {
    store = await startEmbeddedStore();
  });
  afterAll(() => store.stop());

  it("refuses a number of partitions that is no power of two", async () => {
    const { code, stderr } = await runCoxswain(["init", "--partitions", "1000", ...flags("odd")]);
    expect(stderr).toContain(
      "Expected `partitions` to be a power of two from 64 to 65536, got 1000",
    );
    expect(code).toBe(78);
  });

  it("refuses a second init with other partitions, and accepts the same again", async () => {
    const first = await runCoxswain(["init", "--partitions", "64", ...flags("again")]);
    expect(first.code).toBe(0);
    expect((await runCoxswain(["init", "--partitions", "64", ...flags("again")])).code).toBe(0);
    const other = await runCoxswain(["init", "--partitions", "128", ...flags("again")]);
    expect(other.stderr).toContain("CLUSTER_MISMATCH");
    expect(other.stderr).toMatch(/64.*128|128.*64/);
    expect(other.code).toBe(78);
  });

  it("refuses a table that was never initialised", async () => {
    const { code, stderr } = await runCoxswain(["node", ...flags("nowhere")]);
    expect(stderr).toContain("CLUSTER_NOT_INITIALISED");
    expect(code).toBe(78);
  });

  it("refuses another cluster's table", async () => {
    await runCoxswain(["init", "--cluster", "blue", ...flags("blue")]);
    const { code, stderr } = await runCoxswain(["node", "--cluster", "green", ...flags("blue")]);
    expect(stderr).toContain("CLUSTER_MISMATCH");
    expect(code).toBe(78);
  });

  it("refuses a table of another schema", async () => {
    await runCoxswain(["init", ...flags("newer")]);
    const table = openStore({
      kind: "dynamodb",
      table: "newer",
      endpoint: store.endpoint,
      requestTimeoutMs: 5_000,
    });
    await table.update(keys.meta, { set: { schema: 99 } });
    await table.close();
    const { code, stderr } = await runCoxswain(["node", ...flags("newer")]);
    expect(stderr).toContain("CLUSTER_SCHEMA_UNSUPPORTED");
    expect(stderr).toContain("99");
    expect(code).toBe(78);
  });

  it("refuses a slot that a living node holds, and leaves that node alone", async () => {
    await runCoxswain(["init", ...flags("slots")]);
    const holder = new TestNode("node-1", flags("slots"));
    try {
      await holder.listening();
      // It listens before it has claimed its slot.
      await eventually("the holder is a member", 30_000, async () => {
        const { status } = await callApi(holder.apiUrl, "GET", "/readyz");
        return status === 200 ? true : undefined;
      });
      const { code, stderr } = await runCoxswain([
        "node",
        "--slot",
        "node-1",
        "--api-port",
        "0",
        "--fleet-port",
        "0",
        ...flags("slots"),
      ]);
      expect(stderr).toContain("MEMBER_SLOT_TAKEN");
      expect(code).toBe(73);
      expect(holder.log).not.toContain("replaced");
    } finally {
      await holder.stop();
    }
  });

  it("refuses a bind to all addresses that was not asked for by name", async () => {
    const { code, stderr } = await runCoxswain(["node", "--api-host", "0.0.0.0", ...flags("blue")]);
    expect(stderr).toContain("allowInsecureBind");
    expect(code).toBe(78);
  });
});
