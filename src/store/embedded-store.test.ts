import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { createTable } from "./create-table.ts";
import { startEmbeddedStore, type EmbeddedStore } from "./embedded-store.ts";
import { openStore, withDefaults } from "./open-store.ts";
import { describeStoreContract } from "./store-contract.ts";

const key = { pk: "test", sk: "item" };
let shared: EmbeddedStore;
let tableCount = 0;
const undo: (() => Promise<void>)[] = [];

beforeAll(async () => {
  shared = await startEmbeddedStore();
});

afterAll(() => shared.stop());

afterEach(async () => {
  for (const step of undo.splice(0).toReversed()) await step();
});

const optionsFor = (endpoint: string, table = "coxswain") =>
  ({ kind: "dynamodb", table, endpoint, requestTimeoutMs: 20_000 }) as const;

const openAt = async (endpoint: string) => {
  await createTable(withDefaults(optionsFor(endpoint), {}));
  return openStore(optionsFor(endpoint), {});
};

async function temporaryFolder(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "coxswain-store-"));
  undo.push(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

async function start(options: Parameters<typeof startEmbeddedStore>[0]): Promise<EmbeddedStore> {
  const started = await startEmbeddedStore(options);
  undo.push(() => started.stop());
  return started;
}

describeStoreContract("DynamodbStore on the embedded store", async () => {
  const options = optionsFor(shared.endpoint, `table-${++tableCount}`);
  await createTable(withDefaults(options, {}));
  const store = openStore(options, {});
  return { store, close: () => store.close() };
});

test("leaves it to clients to close connections that rest", async () => {
  const reply = await fetch(shared.endpoint);
  await reply.text();
  expect(reply.headers.get("keep-alive")).toBeNull();
});

test("data on disk survives a stop and a start", async () => {
  const dir = join(await temporaryFolder(), "made", "on-demand");
  const first = await start({ dir });
  const before = await openAt(first.endpoint);
  await before.put({ ...key, attributes: { text: "é", bytes: Uint8Array.of(0, 255), count: 7 } });
  await before.close();
  await first.stop();

  const second = await start({ dir });
  const after = await openAt(second.endpoint);
  undo.push(() => after.close());
  const found = await after.get(key);
  expect(found?.attributes).toMatchObject({ text: "é", count: 7 });
  expect(Buffer.compare(found?.attributes["bytes"] as Uint8Array, Buffer.of(0, 255))).toBe(0);
});

test("a folder in use is refused by name, in this process and from another, and free after stop", async () => {
  const dir = await temporaryFolder();
  const holder = await start({ dir });
  await expect(startEmbeddedStore({ dir })).rejects.toMatchObject({
    code: "OPTION_INVALID",
    message: `Expected \`dir\` to be a folder that no other store uses, got ${dir}`,
  });

  const program = `
    import { startEmbeddedStore } from ${JSON.stringify(new URL("embedded-store.ts", import.meta.url).href)};
    const told = await startEmbeddedStore({ dir: process.argv[1] }).catch((error) => error.code);
    console.log(String(told));`;
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--input-type=module", "-e", program, dir],
    { timeout: 8_000 },
  );
  expect(stdout.trim()).toBe("OPTION_INVALID");

  await holder.stop();
  const next = await start({ dir });
  expect(next.endpoint).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
});

test("a file where the folder should be is refused", async () => {
  const file = join(await temporaryFolder(), "file");
  await writeFile(file, "");
  await expect(startEmbeddedStore({ dir: file })).rejects.toMatchObject({ code: "OPTION_INVALID" });
});

test("a taken port is refused by number and leaves the folder free", async () => {
  const dir = await temporaryFolder();
  const port = Number(new URL(shared.endpoint).port);
  await expect(startEmbeddedStore({ dir, port })).rejects.toMatchObject({
    code: "OPTION_INVALID",
    message: expect.stringContaining(`Expected \`port\` to be a free port, got ${port}`) as string,
  });
  await expect(start({ dir })).resolves.toBeDefined();
});

test("stop lets requests under way land, ends idle connections at once and is idempotent", async () => {
  const dir = await temporaryFolder();
  const embedded = await start({ dir });
  const store = await openAt(embedded.endpoint);
  undo.push(() => store.close());
  await store.increment(key, "value", 1);
  const writes = Array.from({ length: 20 }, () => store.increment(key, "value", 1));
  const settled = Promise.allSettled(writes);
  await writes[0];
  const startMs = performance.now();
  await Promise.all([embedded.stop(), embedded.stop()]);
  // Shorter than the grace, after which connections are cut.
  expect(performance.now() - startMs).toBeLessThan(1_900);
  const outcomes = await settled;
  const values = outcomes.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
  await expect(store.get(key)).rejects.toMatchObject({ code: "STORE_UNAVAILABLE" });

  const again = await start({ dir });
  const after = await openAt(again.endpoint);
  undo.push(() => after.close());
  const kept = (await after.get(key))?.attributes["value"];
  expect(kept).toBeGreaterThanOrEqual(Math.max(...values));
  expect(kept).toBeGreaterThanOrEqual(2);
});

test("a client that never ends its request is cut off by stop", async () => {
  const embedded = await start({});
  const socket = connect(Number(new URL(embedded.endpoint).port), "127.0.0.1");
  socket.on("error", () => {});
  const closed = once(socket, "close");
  await once(socket, "connect");
  socket.write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12");
  await (await fetch(embedded.endpoint)).text();
  await embedded.stop();
  await closed;
  expect(socket.destroyed).toBe(true);
});

test("each query closes its iterator in the database", async () => {
  const requireOfDynalite = createRequire(createRequire(import.meta.url).resolve("dynalite"));
  const { AbstractValueIterator } = createRequire(requireOfDynalite.resolve("level"))(
    "abstract-level",
  ) as { AbstractValueIterator: { prototype: { close?: () => Promise<void> } } };
  const { prototype } = AbstractValueIterator;
  const inherited = prototype.close;
  let closedCount = 0;
  prototype.close = function close() {
    closedCount++;
    return inherited?.call(this) ?? Promise.resolve();
  };
  undo.push(async () => void Reflect.deleteProperty(prototype, "close"));
  const store = await openAt(shared.endpoint);
  undo.push(() => store.close());
  for (const sk of ["a", "b", "c"]) await store.put({ pk: "list", sk, attributes: {} });
  for (const limit of [1, 2, 3, 4]) await store.query("list", { limit });
  expect(closedCount).toBe(4);
});

test("a client that goes away in the middle of a request does not end the process", async () => {
  const embedded = await start({});
  const { port } = new URL(embedded.endpoint);
  for (const body of ["", '{"TableName"']) {
    const socket = connect(Number(port), "127.0.0.1");
    await once(socket, "connect");
    socket.write(
      `POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-amz-json-1.0\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\nContent-Length: 1000\r\n\r\n${body}`,
    );
    await new Promise((resolve) => {
      setImmediate(resolve);
    });
    socket.resetAndDestroy();
    await once(socket, "close");
  }
  const answer = await fetch(embedded.endpoint);
  expect(await answer.text()).toContain("healthy");
});
