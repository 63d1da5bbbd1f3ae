import { describe, expect, it } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { appendAudit } from "./audit.ts";
import { failCalls } from "./test-faults.ts";

const entry = {
  at: "2026-11-23T10:00:00.000Z",
  actor: "ann",
  action: "host.put",
  target: "h1",
  details: { address: "http://h" },
};

describe("the audit trail", () => {
  it("does not throw where the store is away", async () => {
    const store = new MemoryStore();
    store.faults = failCalls(() => true, 1);
    expect(await appendAudit(store, createRandom("a"), entry)).toMatchObject({
      kind: "unknown",
      cause: { code: "STORE_UNAVAILABLE" },
    });
    expect(store.dump()).toEqual([]);
  });

  it("keeps two entries of one moment, filed by month, with bounded details", async () => {
    const store = new MemoryStore();
    const random = createRandom("a");
    await appendAudit(store, random, entry);
    const long = { ...entry, details: { text: "😀".repeat(10_000) } };
    expect(await appendAudit(store, random, long)).toEqual({ kind: "written" });
    const { items } = await store.query("audit#2026-11", { limit: 10 });
    expect(items).toHaveLength(2);
    const details = items.map(({ attributes }) => String(attributes["details"]));
    expect(details).toContain('{"address":"http://h"}');
    expect(Math.max(...details.map((text) => text.length))).toBe(4_000);
  });
});
