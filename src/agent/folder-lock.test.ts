import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pid } from "node:process";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFolder } from "./folder-lock.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-lock-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const lockFile = () => join(folder, "agent.lock");

async function lockAndRelease(): Promise<void> {
  const lock = await lockFolder(folder);
  await lock.release();
}

test("a folder has one holder, also within one process, until it is released", async () => {
  const lock = await lockFolder(folder);
  await expect(lockFolder(folder)).rejects.toMatchObject({ code: "AGENT_LOCKED" });
  await expect(lockFolder(join(folder, "."))).rejects.toMatchObject({ code: "AGENT_LOCKED" });
  await lock.release();
  await lock.release();
  expect(await readdir(folder)).toEqual([]);
  await lockAndRelease();
});

test("of many that start at once one wins", async () => {
  await writeFile(lockFile(), '{"pid":999999999,"started":"1"}');
  const locks = await Promise.allSettled(Array.from({ length: 8 }, () => lockFolder(folder)));
  const won = locks.filter(({ status }) => status === "fulfilled");
  expect(won.length).toBe(1);
  for (const each of won) if (each.status === "fulfilled") await each.value.release();
});

test("a living process keeps its lock", async () => {
  const parent = process.ppid;
  const stat = await readFile(`/proc/${parent}/stat`, "utf8").catch(() => "");
  const started = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? "";
  await writeFile(lockFile(), JSON.stringify({ pid: parent, started }));
  await expect(lockFolder(folder)).rejects.toMatchObject({
    code: "AGENT_LOCKED",
    message: expect.stringContaining(`process ${parent}`) as unknown,
  });
  expect(await readFile(lockFile(), "utf8")).toContain(String(parent));
});

test.each([
  ["of a process that has ended", () => spawnSync("true").pid, "5"],
  ["of an earlier process with this one's id", () => pid, ""],
  ["of an earlier process with another's id", () => process.ppid, "5"],
])("a lock %s is taken over", async (_what, deadPid, started) => {
  await writeFile(lockFile(), JSON.stringify({ pid: deadPid(), started }));
  await lockAndRelease();
  expect(await readdir(folder)).toEqual([]);
});

test("a torn lock file is taken over", async () => {
  await writeFile(lockFile(), '{"pi');
  await lockAndRelease();
  expect(await readdir(folder)).toEqual([]);
});

test("a folder that cannot be made is a configuration error", async () => {
  await writeFile(join(folder, "file"), "");
  await expect(lockFolder(join(folder, "file", "x"))).rejects.toMatchObject({
    code: "AGENT_CONFIG_INVALID",
  });
});
