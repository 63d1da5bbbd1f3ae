import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { digestOf } from "../../protocol/digest.ts";
import { runCommand, startScriptedApi } from "../cli-fixture.ts";
import { diffOf } from "./config-diff.ts";

const oldContent = Buffer.from("a\nb\nc\n");
const newContent = Buffer.from("a\nB\nc\n");

function releaseOf(content: Buffer) {
  return {
    name: "a.conf",
    digest: digestOf(content),
    size: content.length,
    author: "jo",
    at: "2026-11-23T06:00:00.000Z",
  };
}

function startApi() {
  const path = "/v1/configs/a.conf/releases";
  return startScriptedApi({
    [`GET ${path}`]: { body: { releases: [releaseOf(newContent), releaseOf(oldContent)] } },
    [`GET ${path}/${encodeURIComponent(digestOf(newContent))}`]: { bytes: newContent },
    [`GET ${path}/${encodeURIComponent(digestOf(oldContent))}`]: { bytes: oldContent },
    [`POST ${path}`]: ({ body }) => ({
      status: 201,
      body: { ...releaseOf(Buffer.from(body)), isNew: true },
    }),
  });
}

test("config put publishes standard input and names the next step", async () => {
  await using api = await startApi();
  const run = await runCommand(["config", "put", "a.conf", "-", "--api", api.url], {
    stdin: "hi\n",
  });
  const digest = digestOf(Buffer.from("hi\n"));
  expect(run.stdout).toBe(`published a.conf ${digest} (3 B)\n`);
  expect(run.stderr).toContain(`coxswain rollout start a.conf --digest ${digest.slice(7, 19)}`);
  expect(api.requests[0]?.body).toBe("hi\n");
});

test("config put refuses more than a release may hold before it sends anything", async () => {
  await using api = await startApi();
  const stdin = "x".repeat(1024 * 1024 + 1);
  const run = await runCommand(["config", "put", "a.conf", "-", "--api", api.url], { stdin });
  expect(run.code).toBe(65);
  expect(api.requests).toEqual([]);
});

test("config ls lists configs, or the releases of one", async () => {
  await using api = await startApi();
  const releases = await runCommand(["config", "ls", "a.conf", "--api", api.url]);
  expect(releases.stdout.split("\n").map((line) => line.split(/\s+/)[0])).toEqual([
    "DIGEST",
    digestOf(newContent).slice(7, 19),
    digestOf(oldContent).slice(7, 19),
    "",
  ]);
  await using configs = await startScriptedApi({
    "GET /v1/configs": { body: { configs: [{ name: "a.conf", releases: 2, latest: null }] } },
  });
  const all = await runCommand(["config", "ls", "--api", configs.url]);
  expect(all.stdout).toMatch(/^CONFIG .*\na\.conf +2 +- +- +-\n$/);
});

test("config show writes the exact bytes; JSON says how they are encoded", async () => {
  await using api = await startApi();
  const newest = await runCommand(["config", "show", "a.conf", "--api", api.url]);
  expect(newest.stdout).toBe(newContent.toString());
  const short = digestOf(oldContent).slice(7, 17);
  const json = await runCommand([
    "config",
    "show",
    "a.conf",
    short,
    "--output",
    "json",
    "--api",
    api.url,
  ]);
  expect(JSON.parse(json.stdout)).toEqual({
    name: "a.conf",
    digest: digestOf(oldContent),
    size: 6,
    encoding: "utf8",
    content: oldContent.toString(),
  });
});

test("config diff compares the last two releases unless told otherwise", async () => {
  await using api = await startApi();
  const { stdout } = await runCommand(["config", "diff", "a.conf", "--api", api.url]);
  expect(stdout).toContain(`--- a.conf@${digestOf(oldContent).slice(7, 19)}\n+++ a.conf@`);
  expect(stdout).toContain("\n a\n-b\n+B\n c\n");
});

test("config diff compares the newest release with a file", async () => {
  const dir = await mkdtemp(join(tmpdir(), "coxswain-diff-"));
  try {
    await using api = await startApi();
    const path = join(dir, "a.conf");
    await writeFile(path, newContent);
    const equal = await runCommand(["config", "diff", "a.conf", "--file", path, "--api", api.url]);
    expect(equal).toEqual({ code: 0, stdout: "", stderr: "" });
    await writeFile(path, "a\nB\nC\n");
    const differs = await runCommand([
      "config",
      "diff",
      "a.conf",
      "--file",
      path,
      "--api",
      api.url,
    ]);
    expect(differs.stdout).toContain("-c\n+C");
    const both = await runCommand([
      "config",
      "diff",
      "a.conf",
      "x",
      "y",
      "--file",
      path,
      "--api",
      api.url,
    ]);
    expect(both.code).toBe(64);
  } finally {
    await rm(dir, { recursive: true });
  }
});

test("contents that are not text are compared, not printed", () => {
  const left = { name: "x@1", content: Buffer.from([0xff, 0xfe]) };
  const right = { name: "x@2", content: Buffer.from("text") };
  expect(diffOf(left, right)).toBe("Binary contents differ: x@1 (2 B) and x@2 (4 B)");
  expect(diffOf(left, { ...left, name: "x@2" })).toBe("");
});
