import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startEmbeddedStore, type EmbeddedStore } from "../src/store/embedded-store.ts";
import { openStore } from "../src/store/open-store.ts";
import { runCoxswain } from "./run-command.ts";
import { eventually, TestCluster } from "./test-cluster.ts";

interface Report {
  readonly isHealthy: boolean;
  readonly findings: readonly { check: string; verdict: string; seen: string; advice: string }[];
}

const nowhere = "http://127.0.0.1:9";

async function doctor(...args: readonly string[]) {
  const { code, stdout, stderr } = await runCoxswain(
    ["doctor", "--output", "json", ...args],
    60_000,
  );
  if (stdout === "") throw new Error(`doctor ended with ${code}: ${stderr}`);
  const report = JSON.parse(stdout) as Report;
  const verdict = (check: string) => report.findings.find((each) => each.check === check)?.verdict;
  const seen = (check: string) => report.findings.find((each) => each.check === check)?.seen;
  return { code, report, verdict, seen };
}

describe("coxswain doctor on three nodes and six hosts", () => {
  let store: EmbeddedStore;
  let cluster: TestCluster;
  let storeFlags: string[];
  beforeAll(async () => {
    store = await startEmbeddedStore();
    cluster = await TestCluster.start({ nodes: 3, storeEndpoint: store.endpoint });
    await cluster.addHosts(6, cluster.node("node-1").apiUrl);
    storeFlags = ["--store-endpoint", store.endpoint];
  });
  afterAll(async () => {
    await cluster.stop();
    await store.stop();
  });

  it("finds nothing to fix, reaches hosts from three owners, and leaves no item behind", async () => {
    const { code, report } = await doctor("--api", cluster.node("node-1").apiUrl, ...storeFlags);
    const odd = report.findings.filter(
      // Two cores that also run other tests may starve a node for a moment.
      ({ check, verdict }) => verdict !== "ok" && check !== "alarms.loopLag",
    );
    expect(odd).toEqual([]);
    expect(code).toBe(0);
    expect(report.findings.find(({ check }) => check === "hosts.reached")?.seen).toMatch(
      /^6 of 6 .* \(3 owners\)$/,
    );
    expect(report.findings.find(({ check }) => check === "nodes.peers")?.seen).toMatch(/^6 of 6/);
    const table = openStore({
      kind: "dynamodb",
      table: "coxswain",
      endpoint: store.endpoint,
      requestTimeoutMs: 5_000,
    });
    expect(await table.query("doctor", { limit: 10 })).toEqual({ items: [], next: undefined });
    await table.close();
  });

  it("finds the nodes in the store where --api leads nowhere, and says which one to ask", async () => {
    const { code, report, verdict } = await doctor("--api", nowhere, ...storeFlags);
    expect(verdict("nodes.entry")).toBe("warn");
    const advice = report.findings.find(({ check }) => check === "nodes.entry")?.advice;
    expect(advice).toContain(`--api ${cluster.node("node-1").apiUrl}`);
    expect([verdict("nodes.api"), verdict("agreement.placement"), code]).toEqual(["ok", "ok", 0]);
  });

  it("names a missing table, and does not blame the nodes for it", async () => {
    const api = cluster.node("node-1").apiUrl;
    const { code, verdict, seen } = await doctor(
      "--api",
      api,
      ...storeFlags,
      "--store-table",
      "lost",
    );
    expect(verdict("store.reachable")).toBe("fail");
    expect(seen("store.reachable")).toContain("`lost`");
    expect([verdict("nodes.api"), code]).toEqual(["ok", 1]);
  });

  it("tries the way back of the host on which it runs", async () => {
    const file = join(cluster.dir, "agent.yaml");
    const { apiUrl, fleetUrl } = cluster.node("node-2");
    const settings = { host: "host-1", cluster: "coxswain", dir: "state", nodes: [fleetUrl] };
    await writeFile(file, JSON.stringify(settings));
    const right = await doctor("--api", apiUrl, "--agent-config", file, "--hosts", "0");
    expect([right.verdict("hosts.hello"), right.verdict("hosts.registered")]).toEqual([
      "ok",
      "warn",
    ]);
    await writeFile(file, JSON.stringify({ ...settings, cluster: "blue" }));
    const wrong = await doctor("--api", apiUrl, "--agent-config", file, "--hosts", "0");
    expect([wrong.verdict("hosts.hello"), wrong.code]).toEqual(["fail", 1]);
  });

  // Last: it ends two of the three nodes.
  it("names the dead nodes that mass silence keeps in the view, and the brake that holds", async () => {
    cluster.node("node-2").signal("SIGKILL");
    cluster.node("node-3").signal("SIGKILL");
    const api = cluster.node("node-1").apiUrl;
    const { code, verdict, seen } = await eventually("evictions are held", 25_000, async () => {
      const report = await doctor("--api", api, ...storeFlags);
      return report.verdict("alarms.evictionHeld") === undefined ? undefined : report;
    });
    expect(code).toBe(1);
    expect(seen("nodes.api")).toMatch(/node-2 at .*connection refused.*node-3 at /);
    expect([verdict("nodes.api"), verdict("nodes.fleet"), verdict("nodes.peers")]).toEqual([
      "fail",
      "fail",
      "fail",
    ]);
    expect(verdict("store.rights")).toBe("ok");
  });
});

describe("coxswain doctor where little is there", () => {
  it("checks the store though no node answers, and the nodes' silence though no store is given", async () => {
    const store = await startEmbeddedStore();
    const flags = ["--store-endpoint", store.endpoint, "--store-table", "fresh"];
    await runCoxswain(["init", "--partitions", "64", ...flags]);
    const withStore = await doctor("--api", nowhere, ...flags);
    expect(withStore.verdict("store.rights")).toBe("ok");
    expect([withStore.verdict("nodes.entry"), withStore.code]).toEqual(["fail", 1]);
    await store.stop();
    const without = await doctor("--api", nowhere);
    expect(without.verdict("store.reachable")).toBe("skipped");
    const away = await doctor("--api", nowhere, ...flags);
    expect(away.verdict("store.reachable")).toBe("fail");
    expect(away.verdict("store.rights")).toBeUndefined();
  });

  it("leaves the folder of an embedded store alone: one that is not there, and one in use", async () => {
    const dir = await mkdtemp(join(tmpdir(), "coxswain-doctor-"));
    const embedded = ["--api", nowhere, "--store", "embedded", "--store-dir"];
    const missing = await doctor(...embedded, join(dir, "none"));
    expect(missing.verdict("store.reachable")).toBe("fail");
    const again = await doctor(...embedded, join(dir, "none"));
    expect(again.seen("store.reachable")).toContain("there is no folder");
    const held = await startEmbeddedStore({ dir: join(dir, "held") });
    const inUse = await doctor(...embedded, join(dir, "held"));
    expect(inUse.verdict("store.reachable")).toBe("skipped");
    await held.stop();
    await rm(dir, { recursive: true, force: true });
  });

  it("ends within the time that all checks may take, though what it asks never answers", async () => {
    const silent = createServer((socket) => {
      // Read to its end, or the socket would never close.
      socket.on("error", () => {}).resume();
    });
    silent.listen(0, "127.0.0.1");
    await once(silent, "listening");
    const url = `http://127.0.0.1:${(silent.address() as AddressInfo).port}`;
    const { code, seen } = await doctor("--api", url, "--timeout", "500ms");
    expect(seen("nodes.entry")).toContain("not within the 500ms that all checks may take");
    expect(code).toBe(1);
    silent.close();
    await once(silent, "close");
  });
});
