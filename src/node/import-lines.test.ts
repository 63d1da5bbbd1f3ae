import { describe, expect, test } from "vitest";
import { failCalls } from "../inventory/test-faults.ts";
import { HostStore } from "../inventory/hosts.ts";
import { parseHostId } from "../inventory/host.ts";
import { limits } from "../protocol/limits.ts";
import { MemoryStore } from "../store/memory-store.ts";
import { importLines } from "./import-lines.ts";
import type { HostAddress, TakenAddress } from "./peers.ts";

function importer(taken: readonly TakenAddress[] = []) {
  const store = new MemoryStore();
  const hosts = new HostStore({ store, partitionOf: (id) => id.length % 4 });
  const asked: HostAddress[] = [];
  const directory = {
    takenAddresses: async (addresses: readonly HostAddress[]) => {
      asked.push(...addresses);
      return taken.filter(({ id }) => addresses.some((host) => host.id === id));
    },
  };
  const run = (
    text: string | Uint8Array,
    options: Partial<Parameters<typeof importLines>[3]> = {},
  ) => {
    const body = typeof text === "string" ? Buffer.from(text) : text;
    const settings = { onExisting: "update" as const, dryRun: false, ...options };
    return importLines(body, hosts, directory, settings);
  };
  return { store, hosts, asked, run };
}

const lineOf = (id: string, address = `http://${id}:9000`) => JSON.stringify({ id, address });

describe("an import", () => {
  test("counts lines from 1, blank ones and both line ends included", async () => {
    const { run } = importer();
    const { report, changed } = await run(`\uFEFF${lineOf("a")}\r\n\r\nx\n  \n${lineOf("b")}`);
    expect(report).toMatchObject({ created: 2, failed: 1, errors: [{ line: 3 }] });
    expect(changed.toSorted()).toEqual(["a", "b"]);
  });

  test.each([
    ["null", "HOST_INVALID"],
    ["[]", "HOST_INVALID"],
    ["7", "HOST_INVALID"],
    ['"a"', "HOST_INVALID"],
    ['{"id":"a"}', "HOST_INVALID"],
    ['{"id":"a","address":"http://a","mode":"dail"}', "HOST_INVALID"],
    ['{"id":"a","address":"http://a","__proto__":{"labels":{"x":"y"}}}', "HOST_INVALID"],
    ['{"id":"a","address":"http://a","labels":{"__proto__":"x"}}', "HOST_INVALID"],
    ['{"id":"__proto__","address":"http://a"}', "HOST_INVALID"],
  ])("refuses the line %s", async (line, code) => {
    const { run, store } = importer();
    const { report, changed } = await run(line);
    expect(report).toMatchObject({ created: 0, failed: 1, errors: [{ line: 1, code }] });
    expect([changed, store.dump()]).toEqual([[], []]);
  });

  test("bytes that are no text fail as a line, not as a request", async () => {
    const { run } = importer();
    const { report } = await run(new Uint8Array([0xff, 0xfe, 0x0a]));
    expect(report).toMatchObject({ failed: 1, errors: [{ line: 1, code: "HOST_INVALID" }] });
  });

  test("an address given twice fails where it comes again, naming both lines", async () => {
    const { run } = importer();
    const { report } = await run(`${lineOf("a", "http://x:1")}\n${lineOf("b", "HTTP://X:1/")}`);
    expect(report).toMatchObject({ created: 1, errors: [{ line: 2, code: "HOST_ADDRESS_TAKEN" }] });
    expect(report.errors[0]?.message).toContain("on lines 1 and 2");
  });

  test("an id given twice fails where it comes again", async () => {
    const { run } = importer();
    const { report } = await run(`${lineOf("a", "http://x:1")}\n${lineOf("a", "http://y:1")}`);
    expect(report).toMatchObject({ created: 1, failed: 1 });
    expect(report.errors[0]).toMatchObject({ line: 2, id: "a", code: "HOST_INVALID" });
  });

  test("an address of another host in the cluster fails alone", async () => {
    const { run, hosts } = importer([{ id: "a", address: "http://a:9000", by: "old" }]);
    const { report, changed } = await run(`${lineOf("a")}\n${lineOf("b")}`);
    expect(report).toMatchObject({
      created: 1,
      errors: [{ line: 1, id: "a", code: "HOST_ADDRESS_TAKEN" }],
    });
    expect(report.errors[0]?.message).toContain("of old");
    expect(changed).toEqual(["b"]);
    expect(await hosts.get(parseHostId("a"))).toBeUndefined();
  });

  test("errors of all kinds come in the order of the lines", async () => {
    const taken = [{ id: "c", address: "http://c:9000", by: "old" }];
    const { run } = importer(taken);
    const { report } = await run(
      ["x", lineOf("a"), lineOf("c"), lineOf("a", "http://z"), "y"].join("\n"),
    );
    expect(report.errors.map(({ line }) => line)).toEqual([1, 3, 4, 5]);
    expect(report.failed + report.created).toBe(5);
  });

  test("a dry run says the same and writes nothing", async () => {
    const { run, store } = importer();
    const text = `${lineOf("a")}\nx`;
    const dry = await run(text, { dryRun: true });
    expect(store.dump()).toEqual([]);
    expect(dry.report).toEqual((await run(text)).report);
  });

  test("a store in trouble fails lines, which may be sent again", async () => {
    const { run, store } = importer();
    store.faults = failCalls((call) => call === "put", 1);
    const text = `${lineOf("a")}\n${lineOf("bb")}`;
    const { report } = await run(text);
    expect(report).toMatchObject({
      created: 1,
      failed: 1,
      errors: [{ code: "STORE_UNAVAILABLE" }],
    });
    expect((await run(text)).report).toMatchObject({ created: 1, unchanged: 1, failed: 0 });
  });

  test("exactly as many hosts as the limit are taken, one more is refused before any is", async () => {
    const { run, store, asked } = importer();
    const lines = Array.from({ length: limits.importHostsMax + 1 }, () => "x");
    await expect(run(lines.join("\n"))).rejects.toMatchObject({ code: "REQUEST_TOO_LARGE" });
    expect([store.dump(), asked]).toEqual([[], []]);
    const most = await run(lines.slice(1).join("\n"));
    expect(most.report.failed).toBe(limits.importHostsMax);
  });
});
