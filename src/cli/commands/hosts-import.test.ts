import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseHostInput } from "../../inventory/host.ts";
import { partitionOf } from "../../ring/hash.ts";
import { runCommand, startScriptedApi, type Reply, type SeenRequest } from "../cli-fixture.ts";
import { chunksOf } from "./hosts-import.ts";

function acceptAll({ body }: SeenRequest): Reply {
  const count = body.trim().split("\n").length;
  return { body: { created: count, updated: 0, unchanged: 0, failed: 0, errors: [] } };
}

function hostsOf({ body }: SeenRequest): string[] {
  const lines = body.trim().split("\n");
  return lines.map((text) => (JSON.parse(text) as { id: string }).id);
}

function jsonLines(count: number): string {
  return Array.from({ length: count }, (_, index) =>
    JSON.stringify({ id: `h-${index}`, address: `http://10.0.0.1:${index + 1}`, labels: {} }),
  ).join("\n");
}

test("a wrong line stops the whole import before anything is sent", async () => {
  await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
  const run = await runCommand(["hosts", "import", "-", "--api", api.url], {
    stdin: "id,address,label.role\na,http://10.0.0.1:1,edge\nb,nowhere,edge\n",
  });
  expect(run.code).toBe(65);
  expect(run.stderr).toContain("line 3: HOST_INVALID: ");
  expect(run.stderr).toContain("1 line with errors; nothing was sent");
  expect(api.requests).toEqual([]);
});

test("with --skip-invalid the good lines go and the bad ones are still failures", async () => {
  await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
  const run = await runCommand(["hosts", "import", "-", "--skip-invalid", "--api", api.url], {
    stdin: "id,address\na,http://10.0.0.1:1\nb,nowhere\nc,http://10.0.0.1:3\n",
  });
  expect(run.code).toBe(65);
  expect(run.stdout).toBe("2 created, 0 updated, 0 unchanged, 1 failed\n");
  expect(api.requests[0]?.body).toContain('"id":"c"');
  expect(api.requests[0]?.body).not.toContain('"id":"b"');
});

test("a long file goes in chunks and failures name the file's own lines", async () => {
  await using api = await startScriptedApi({
    "POST /v1/hosts": (request) => {
      const at = request.body.split("\n").findIndex((text) => text.includes('"h-1500"'));
      if (at < 0) return acceptAll(request);
      const errors = [{ line: at + 1, id: "h-1500", code: "PARTITION_FULL", message: "no room" }];
      return { status: 207, body: { created: 0, updated: 2, unchanged: 497, failed: 1, errors } };
    },
  });
  const run = await runCommand(["hosts", "import", "-", "--output", "json", "--api", api.url], {
    stdin: `\n${jsonLines(1_500)}\n${JSON.stringify({ id: "h-1500", address: "http://10.0.0.2:1", labels: {} })}`,
  });
  expect(api.requests.map(({ body }) => body.trim().split("\n").length)).toEqual([1_000, 501]);
  expect(run.code).toBe(65);
  expect(JSON.parse(run.stdout)).toEqual({
    created: 501,
    updated: 2,
    unchanged: 497,
    failed: 1,
    unanswered: 0,
    errors: [{ line: 1_502, id: "h-1500", code: "PARTITION_FULL", message: "no room" }],
    dryRun: false,
  });
});

test("each request holds the hosts of few partitions, in whatever order the file has them", async () => {
  await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
  await runCommand(["hosts", "import", "-", "--api", api.url], { stdin: jsonLines(3_000) });
  expect(new Set(api.requests.flatMap(hostsOf)).size).toBe(3_000);
  for (const request of api.requests) {
    const partitions = new Set(hostsOf(request).map((id) => partitionOf(id, 64)));
    expect(partitions.size).toBeLessThan(30);
  }
});

test("a host that is in the file twice is an error of its second line, whatever request it would be in", async () => {
  await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
  const again = `${JSON.stringify({ id: "h-3", address: "http://10.0.0.9:1", labels: {} })}
${JSON.stringify({ id: "other", address: "http://10.0.0.1:8", labels: {} })}`;
  const run = await runCommand(["hosts", "import", "-", "--skip-invalid", "--api", api.url], {
    stdin: `${jsonLines(1_200)}\n${again}`,
  });
  expect(run.code).toBe(65);
  expect(run.stderr).toContain("line 1201: HOST_INVALID: ");
  expect(run.stderr).toContain("got h-3 on lines 4 and 1201");
  expect(run.stderr).toContain("line 1202: HOST_INVALID: ");
  expect(run.stderr).toContain("got http://10.0.0.1:8 on lines 8 and 1202");
  expect(run.stdout).toContain("1200 created, 0 updated, 0 unchanged, 2 failed");
});

test("a node that goes away in the middle leaves an exact account", async () => {
  let requestCount = 0;
  await using api = await startScriptedApi({
    "POST /v1/hosts": (request) => (++requestCount > 1 ? { cut: true } : acceptAll(request)),
  });
  const run = await runCommand(["hosts", "import", "-", "--api", api.url], {
    stdin: jsonLines(1_200),
  });
  expect(run.code).toBe(69);
  expect(run.stdout).toBe(
    "1000 created, 0 updated, 0 unchanged, 0 failed, 200 without an answer (run the import again)\n",
  );
});

test("--dry-run and --on-existing reach the API, and the summary says would be", async () => {
  await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
  const run = await runCommand(
    ["hosts", "import", "-", "--dry-run", "--on-existing", "refuse", "--api", api.url],
    { stdin: jsonLines(2) },
  );
  expect(run.stdout).toBe("would be: 2 created, 0 updated, 0 unchanged, 0 failed\n");
  expect(api.requests[0]?.url).toBe("/v1/hosts?onExisting=refuse&dryRun=true");
});

test("a file is read by its ending; one that is not there exits 66", async () => {
  const dir = await mkdtemp(join(tmpdir(), "coxswain-import-"));
  try {
    const path = join(dir, "fleet.yaml");
    await writeFile(path, "- id: a\n  address: http://10.0.0.1:1\n");
    await using api = await startScriptedApi({ "POST /v1/hosts": acceptAll });
    const run = await runCommand(["hosts", "import", path, "--api", api.url]);
    expect(run).toMatchObject({ code: 0, stdout: "1 created, 0 updated, 0 unchanged, 0 failed\n" });
    const missing = await runCommand(["hosts", "import", join(dir, "no.csv"), "--api", api.url]);
    expect(missing.code).toBe(66);
    expect(missing.stderr).toContain("error INPUT_UNREADABLE: Cannot read ");
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("a chunk ends before its body grows too large", () => {
  const labels = Object.fromEntries(
    Array.from({ length: 32 }, (_, index) => [`k${index}`.padEnd(63, "x"), "v".repeat(63)]),
  );
  const lines = Array.from({ length: 1_000 }, (_, index) => ({
    line: index + 1,
    input: parseHostInput({ id: `h-${index}`, address: `http://10.0.0.1:${index + 1}`, labels }),
  }));
  const chunks = [...chunksOf(lines)];
  expect(chunks.length).toBeGreaterThan(1);
  expect(Math.max(...chunks.map(({ body }) => body.length))).toBeLessThanOrEqual(2 * 1024 * 1024);
  expect(chunks.flatMap((chunk) => chunk.lines)).toEqual(lines);
});
