/**
 * Memory of a node per idle connection that a host opened: the resident set before and after so many
 * have attached and answered one sync, after garbage collection. The node is a real fleet listener and
 * the real registry of connections; the hosts are a process of their own (sink.ts).
 *
 * The kernel's socket buffers are outside of the resident set.
 */
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { parseHostId, type HostId } from "../src/inventory/host.ts";
import { systemClock } from "../src/kernel/clock.ts";
import { createRandom } from "../src/kernel/random.ts";
import { ReverseLinks } from "../src/node/reverse-links.ts";
import { syncPath } from "../src/protocol/sync.ts";
import { machine, markdownTable, median } from "./measure.ts";
import { startSink } from "./start-sink.ts";

const firstHosts = 300;
const settleMs = 400;
const patienceMs = 60_000;
const pollMs = 20;
const attachHeaders =
  "HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: coxswain-reverse\r\n\r\n";

export async function reportReverseMemory(hosts: number, rounds: number): Promise<void> {
  const bytes: number[] = [];
  for (let round = 0; round < rounds; round++) bytes.push(await measureAside(hosts));
  const row = {
    subject: "connection that a host opened",
    "KB resident / connection": (median(bytes) / 1_024).toFixed(1),
    rounds: bytes.map((each) => (each / 1_024).toFixed(1)).join(" "),
  };
  process.stdout.write(
    `${hosts} connections, ${rounds} rounds, medians\n${machine()}\n\n${markdownTable([row])}\n`,
  );
}

async function measureAside(hosts: number): Promise<number> {
  const main = fileURLToPath(new URL("main.ts", import.meta.url));
  const args = ["--expose-gc", main, "memory", "--reverse-here", String(hosts)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

/** Measures in this process; prints bytes per connection. */
export async function measureReverseMemory(hosts: number): Promise<void> {
  const links = new ReverseLinks(
    {
      clock: systemClock,
      random: createRandom("memory"),
      onClosed: () => {},
      lossSpreadMs: () => 500,
    },
    { pingIntervalMs: 120_000, linkAgeMs: 3_600_000 },
  );
  const server = createServer();
  server.on("upgrade", (request, socket) => {
    socket.write(attachHeaders);
    links.attach(parseHostId(String(request.headers["coxswain-host"])), 0, socket);
  });
  await new Promise<void>((resolve) => {
    server.listen({ port: 0, host: "127.0.0.1", backlog: 4_096 }, resolve);
  });
  const { port } = server.address() as AddressInfo;
  const sink = await startSink();
  try {
    const urls = [`http://127.0.0.1:${port}`];
    const ids = Array.from({ length: firstHosts + hosts }, (_, index) => `host-${index}`);
    await sink.ask({ ask: "attach", urls, ids: ids.slice(0, firstHosts), cluster: "c" });
    await syncAll(links, firstHosts, ids.slice(0, firstHosts));
    const before = await residentBytes();
    await sink.ask({ ask: "attach", urls, ids: ids.slice(firstHosts), cluster: "c" });
    await syncAll(links, ids.length, ids.slice(firstHosts));
    const after = await residentBytes();
    process.stdout.write(`${(after - before) / hosts}\n`);
  } finally {
    sink.stop();
    links.stop();
    server.close();
  }
}

/** Waits until `count` are connected, then one exchange with each of `ids`. */
async function syncAll(links: ReverseLinks, count: number, ids: readonly string[]): Promise<void> {
  const endMs = performance.now() + patienceMs;
  while (links.linkCount < count) {
    if (performance.now() > endMs) throw new Error(`${links.linkCount} of ${count} attached`);
    await systemClock.sleep(pollMs);
  }
  const body = Buffer.from(JSON.stringify({ manifest: `sha256:${"0".repeat(64)}` }));
  for (const id of ids) {
    const headers = { "content-type": "application/json", "coxswain-host": id };
    const request = { path: syncPath, headers, body, deadlineMs: 10_000 };
    const result = await links.exchange(id as HostId, request);
    if (result?.kind !== "reply") throw new Error(`${id}: ${JSON.stringify(result)}`);
  }
}

async function residentBytes(): Promise<number> {
  for (let turn = 0; turn < 4; turn++) {
    await globalThis.gc?.({ type: "major", execution: "async" });
    await systemClock.sleep(settleMs);
  }
  return process.memoryUsage.rss();
}
