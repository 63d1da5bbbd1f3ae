/** What the tests of the object driver share: a host in memory, a driver on virtual time, and releases laid ready. */
import { expect } from "vitest";
import { silentLogger } from "../kernel/log.ts";
import { createRandom } from "../kernel/random.ts";
import { MemoryObjectStore } from "../objects/memory-object-store.ts";
import {
  contentKey,
  decodeStatus,
  encodeContent,
  encodeManifest,
  encodePointer,
  manifestKey,
  pointerKey,
  statusKey,
  type HostPointer,
} from "../objects/object-layout.ts";
import type { ObjectReader } from "../objects/object-store.ts";
import { digestOf, manifestDigestOf, type Digest } from "../protocol/digest.ts";
import type { SyncReply } from "../protocol/sync.ts";
import { createHost, target } from "./agent-fixture.ts";
import { ObjectDriver } from "./object-driver.ts";

/** Where app.conf lies. */
export const path = "/etc/app.conf";
const running: (() => Promise<void>)[] = [];

/** Ends every driver of the test; fails where one leaves a timer behind. */
export async function stopAll(): Promise<void> {
  for (const stop of running.splice(0)) await stop();
}

/** A driver that looks for host h1 in `objects`; ends with the test and leaves no timer. */
export async function setUp(
  options: Parameters<typeof createHost>[0] = {},
  objects?: MemoryObjectStore,
  /** What the driver is given in place of the store. */
  place?: (store: MemoryObjectStore) => ObjectReader,
) {
  const store = objects ?? new MemoryObjectStore();
  const host = await createHost({ listed: { "app.conf": target() }, ...options });
  const gets: string[] = [];
  store.before = (call, key) => {
    if (call === "get") gets.push(key.split("/")[2] ?? "");
  };
  const reports: SyncReply[] = [];
  const log: string[] = [];
  const state = { needsSync: false, isNodeThere: true };
  const warn = (fields: object) => log.push("error" in fields ? String(fields.error) : "");
  const driver = new ObjectDriver(
    {
      clock: host.clock,
      random: createRandom("object"),
      log: { ...silentLogger, warn },
      core: host.core,
      open: async () => place?.(store) ?? store,
      report: async ({ body }) => {
        if (!state.isNodeThere) return undefined;
        reports.push(body as SyncReply);
        return { needsSync: state.needsSync };
      },
    },
    { host: "h1", cluster: "c1" },
  );
  const stopping = new AbortController();
  const ran = driver.run(stopping.signal).catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error;
  });
  running.push(async () => {
    stopping.abort(new Error("the test is over"));
    await ran;
    expect(host.clock.timerCount).toBe(0);
  });
  const held = () => host.disk.text(path);
  const left = () => {
    const bytes = store.objects.get(statusKey("c1", "h1"));
    return bytes && decodeStatus(bytes, { cluster: "c1", host: "h1" });
  };
  return { host, store, gets, reports, log, state, driver, held, left };
}

/** As an agent sees a bucket behind a web server. */
export function readOnly(store: MemoryObjectStore): ObjectReader {
  return { get: (key, options) => store.get(key, options), close: () => {} };
}

/** Lays a release of app.conf ready; `parts` override fields of the pointer. */
export function lay(store: MemoryObjectStore, text: string, fleet: number, parts = {}): Digest {
  const digest = digestOf(Buffer.from(text));
  const configs = [{ name: "app.conf", digest, size: text.length }];
  const manifest = manifestDigestOf(configs);
  const pointer: HostPointer = {
    cluster: "c1",
    host: "h1",
    fence: { generation: 1, fleet, host: 1 },
    view: 3,
    node: "n1",
    manifest,
    nextPollMs: 10_000,
    ...parts,
  };
  store.objects.set(contentKey("c1", digest), encodeContent(Buffer.from(text)));
  store.objects.set(manifestKey("c1", manifest), encodeManifest(manifest, configs));
  store.objects.set(pointerKey("c1", "h1"), encodePointer(pointer));
  return manifest;
}
