/**
 * Import of a fleet through the API of a node, against a bare loop of BatchWriteItem with the same items
 * on the same engine: what the conditions, the partitions' heads and the checks cost.
 *
 * The bare loop overwrites whatever is there and tells nobody; it is the engine's own bound, not an
 * alternative. Both run in turn on tables of their own, with hosts that are new. `--per-request` takes
 * sizes of requests in the file's order, and `cli` for what `coxswain hosts import` sends. `--engine
 * embedded` takes the embedded store instead of DynamoDB Local; `--engine none` measures nothing and only
 * counts calls.
 */
import { randomUUID } from "node:crypto";
import { parseArgs } from "node:util";
import { BatchWriteItemCommand, DynamoDBClient } from "@aws-sdk/client-dynamodb";
import { request } from "undici";
import { startDynamodbLocal } from "../integration/dynamodb-local.ts";
import { TestCluster } from "../integration/test-cluster.ts";
import { forEachBounded } from "../src/inventory/bounded.ts";
import { encodeHost } from "../src/inventory/host-codec.ts";
import { parseHostInput } from "../src/inventory/host.ts";
import { HostStore, recordOf } from "../src/inventory/hosts.ts";
import { importHosts } from "../src/inventory/import-hosts.ts";
import { partitionOf } from "../src/ring/hash.ts";
import { inPartitionOrder } from "../src/ring/partition-order.ts";
import { createTable } from "../src/store/create-table.ts";
import type { DynamodbOptions } from "../src/store/dynamodb-client.ts";
import { encodeItem } from "../src/store/dynamodb-codec.ts";
import { startEmbeddedStore } from "../src/store/embedded-store.ts";
import { MemoryStore } from "../src/store/memory-store.ts";
import { withDefaults } from "../src/store/open-store.ts";
import { keys } from "../src/store/store.ts";
import { machine, markdownTable, median, medianRatio, timedMs } from "./measure.ts";

const batchItemsMax = 25;
/** As many requests under way as the import has partitions. */
const batchesAtOnce = 16;
const importTimeoutMs = 10 * 60_000;

export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      hosts: { type: "string", default: "20000" },
      partitions: { type: "string", default: "1024" },
      "per-request": { type: "string", default: "1000,cli,10000" },
      rounds: { type: "string", default: "3" },
      engine: { type: "string", default: "local" },
    },
  });
  const fleet = makeFleet(Number(values.hosts), Number(values.partitions));
  const variants = values["per-request"].split(",").map((text) => variantOf(text, fleet));
  console.log(await callTable(fleet, variants));
  if (values.engine === "none") return;
  const engine =
    values.engine === "embedded" ? await startEmbeddedStore() : await startDynamodbLocal();
  if ("unavailable" in engine) {
    console.log(`skipped: DynamoDB Local is not available: ${engine.unavailable}`);
    return;
  }
  try {
    const bare: number[] = [];
    const imports = variants.map(() => [] as number[]);
    for (let round = -1; round < Number(values.rounds); round++) {
      // The first round warms the engine and this process.
      const times = await measureRound(engine.endpoint, fleet, variants, round % 2 === 0);
      console.error(`round ${round}: ${times.map((ms) => (ms / 1_000).toFixed(1)).join(" ")} s`);
      if (round < 0) continue;
      bare.push(times[0] ?? Number.NaN);
      for (const [index, list] of imports.entries()) list.push(times[index + 1] ?? Number.NaN);
    }
    console.log(`${machine()}; ${values.engine}, ${fleet.hosts} hosts, P = ${fleet.partitions}`);
    const row = (name: string, list: readonly number[]) => ({
      way: name,
      "hosts/s": ((fleet.hosts * 1_000) / median(list)).toFixed(0),
      "rate, x bare loop": medianRatio(bare, list).toFixed(2),
      rounds: list.map((ms, index) => ((bare[index] ?? Number.NaN) / ms).toFixed(2)).join(" "),
    });
    console.log(
      markdownTable([
        row("BatchWriteItem, 25 items, 16 at once", bare),
        ...imports.map((list, index) => row(`import, ${variants[index]?.name}`, list)),
      ]),
    );
  } finally {
    await engine.stop();
  }
}

interface Fleet {
  readonly hosts: number;
  readonly partitions: number;
  /** NDJSON, a host a line. */
  readonly lines: readonly string[];
}

/** A way to send the fleet. */
interface Variant {
  readonly name: string;
  readonly requests: readonly (readonly string[])[];
}

/** `text`: hosts a request in the file's order, or `cli`. */
function variantOf(text: string, { lines }: Fleet): Variant {
  const isCli = text === "cli";
  const perRequest = isCli ? 1_000 : Number(text);
  const ordered = isCli
    ? inPartitionOrder(lines, (line) => parseHostInput(JSON.parse(line)).id)
    : lines;
  const requests = Array.from({ length: Math.ceil(lines.length / perRequest) }, (_, at) =>
    ordered.slice(at * perRequest, (at + 1) * perRequest),
  );
  const name = `${perRequest} hosts a request`;
  return { name: isCli ? `${name}, in the command's order` : name, requests };
}

/** What each variant asks of a store that is empty: the same whatever the engine or the load. */
async function callTable(
  { hosts, partitions }: Fleet,
  variants: readonly Variant[],
): Promise<string> {
  const rows = await Promise.all(
    variants.map(async ({ name, requests }) => {
      const store = new MemoryStore();
      const calls = { heads: 0, counts: 0, queries: 0, puts: 0 };
      store.faults = {
        before(call) {
          if (call === "getMany") calls.heads++;
          if (call === "increment") calls.counts++;
          if (call === "query") calls.queries++;
          if (call === "put") calls.puts++;
        },
      };
      const hostStore = new HostStore({ store, partitionOf: (id) => partitionOf(id, partitions) });
      for (const texts of requests) {
        const lines = texts.map((text, at) => ({
          line: at + 1,
          input: parseHostInput(JSON.parse(text)),
        }));
        const outcomes = await importHosts(hostStore, lines, { onExisting: "update" });
        if (outcomes.some(({ outcome }) => outcome !== "created")) throw new Error("not created");
      }
      const sum = Object.values(calls).reduce((total, count) => total + count, 0);
      return { import: name, "calls a host": (sum / hosts).toFixed(2), ...calls };
    }),
  );
  return markdownTable(rows);
}

function makeFleet(hosts: number, partitions: number): Fleet {
  const lines = Array.from({ length: hosts }, (_, index) =>
    JSON.stringify({
      id: `host-${String(index).padStart(6, "0")}`,
      address: `http://127.${1 + Math.floor(index / 62_500)}.${Math.floor(index / 250) % 250}.${(index % 250) + 1}:9`,
      labels: { role: "edge", zone: `z${index % 3}` },
    }),
  );
  return { hosts, partitions, lines };
}

/** Milliseconds of the bare loop and of an import with each size of request. */
async function measureRound(
  endpoint: string,
  fleet: Fleet,
  variants: readonly Variant[],
  isForward: boolean,
): Promise<number[]> {
  const runs = [
    () => bareLoop(endpoint, fleet),
    ...variants.map((variant) => () => importAll(endpoint, fleet, variant)),
  ];
  const times: number[] = [];
  const order = [...runs.entries()];
  for (const [index, measure] of isForward ? order : order.toReversed()) {
    times[index] = await measure();
  }
  return times;
}

async function bareLoop(endpoint: string, fleet: Fleet): Promise<number> {
  const table = `bare-${randomUUID()}`;
  const options = withDefaults<DynamodbOptions>({ table, endpoint, requestTimeoutMs: 10_000 }, {});
  await createTable(options);
  const { region = "us-east-1", credentials } = options;
  const client = new DynamoDBClient({
    endpoint,
    region,
    ...(credentials === undefined ? undefined : { credentials }),
  });
  const put = (line: string) => {
    const record = recordOf(parseHostInput(JSON.parse(line)), 1);
    const key = keys.host(partitionOf(record.id, fleet.partitions), record.id);
    return { PutRequest: { Item: encodeItem({ ...key, attributes: encodeHost(record) }) } };
  };
  const batches = Array.from({ length: Math.ceil(fleet.hosts / batchItemsMax) }, (_, batch) =>
    fleet.lines.slice(batch * batchItemsMax, (batch + 1) * batchItemsMax),
  );
  try {
    return await timedMs(() =>
      forEachBounded(batches, batchesAtOnce, async (lines) => {
        const input = { RequestItems: { [table]: lines.map(put) } };
        const { UnprocessedItems } = await client.send(new BatchWriteItemCommand(input));
        if (Object.keys(UnprocessedItems ?? {}).length > 0) throw new Error("items left over");
      }),
    );
  } finally {
    client.destroy();
  }
}

async function importAll(endpoint: string, fleet: Fleet, { requests }: Variant): Promise<number> {
  const cluster = await TestCluster.start({
    nodes: 1,
    partitions: fleet.partitions,
    storeEndpoint: endpoint,
    table: `import-${randomUUID()}`,
    // Nobody listens at these addresses: pushes must not compete with the import.
    flags: ["--pushes-per-second", "1"],
  });
  try {
    const { apiUrl } = cluster.node("node-1");
    return await timedMs(async () => {
      for (const lines of requests) {
        const { body: reply } = await request(`${apiUrl}/v1/hosts`, {
          method: "POST",
          headers: { "content-type": "application/x-ndjson" },
          body: lines.join("\n"),
          headersTimeout: importTimeoutMs,
        });
        const text = await reply.text();
        if (!text.includes('"failed":0')) throw new Error(`import: ${text.slice(0, 500)}`);
      }
    });
  } finally {
    await cluster.stop();
  }
}
