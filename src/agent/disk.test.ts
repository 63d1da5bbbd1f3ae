import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { silentLogger } from "../kernel/log.ts";
import { ManualClock } from "../kernel/manual-clock.ts";
import { createAgentCore } from "./agent-core.ts";
import { good } from "./agent-fixture.ts";
import { DiskError, writeDurable, type Disk } from "./disk.ts";
import { fileDisk } from "./file-disk.ts";
import { MemoryDisk } from "./memory-disk.ts";
import { fullSync } from "./sync-builder.ts";

const bytes = (text: string) => new TextEncoder().encode(text);
const attributes = { mode: 0o640 };
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "coxswain-disk-"));
  cleanups.push(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function textAt(disk: Disk, path: string): Promise<string | undefined> {
  const found = await disk.read(path, 1000);
  return found === undefined ? undefined : new TextDecoder().decode(found);
}

/** Every adapter of the port behaves alike. */
describe.each<[string, () => { disk: Disk; folder: () => Promise<string> }]>([
  ["memory", () => ({ disk: new MemoryDisk(), folder: async () => "/folder" })],
  ["file", () => ({ disk: fileDisk, folder: temporaryFolder })],
])("the %s disk", (_name, create) => {
  test("reads nothing where there is nothing", async () => {
    const { disk, folder } = create();
    const base = await folder();
    expect(await disk.read(join(base, "a"), 10)).toBeUndefined();
    expect(await disk.list(join(base, "none"))).toEqual([]);
    await disk.remove(join(base, "a"));
  });

  test("writes into folders that are not there yet, and replaces whole", async () => {
    const { disk, folder } = create();
    const path = join(await folder(), "b", "c", "d.conf");
    await writeDurable(disk, path, bytes("a long first content"), attributes);
    await writeDurable(disk, path, bytes("short"), attributes);
    expect(await textAt(disk, path)).toBe("short");
    expect(await disk.list(join(path, ".."))).toEqual(["d.conf"]);
  });

  test("refuses to read more than it may", async () => {
    const { disk, folder } = create();
    const path = join(await folder(), "a");
    await disk.write(path, bytes("12345"), attributes);
    expect(await disk.read(path, 5)).toHaveLength(5);
    await expect(disk.read(path, 4)).rejects.toThrow(/at most 4 bytes/);
  });

  test("a link keeps the old content through a rename, and goes back", async () => {
    const { disk, folder } = create();
    const base = await folder();
    const [target, previous, candidate] = ["t", "p", "c"].map((name) => join(base, name));
    if (target === undefined || previous === undefined || candidate === undefined) return;
    await disk.write(target, bytes("old"), attributes);
    await disk.write(previous, bytes("left over"), attributes);
    await disk.write(candidate, bytes("new"), attributes);
    await disk.link(target, previous);
    await disk.rename(candidate, target);
    expect([await textAt(disk, target), await textAt(disk, previous)]).toEqual(["new", "old"]);
    await disk.rename(previous, target);
    expect(await textAt(disk, target)).toBe("old");
    await disk.link(target, previous);
    await disk.link(target, previous);
    await disk.write(target, bytes("newer"), attributes);
    expect(await textAt(disk, previous)).toBe("old");
    expect(await disk.list(base)).toEqual(["p", "t"]);
    await disk.discard(join(base, "none"));
    await disk.discard(target);
    expect(await disk.list(base)).toEqual(["p"]);
  });

  test("renaming or linking what is not there fails with a DiskError", async () => {
    const { disk, folder } = create();
    const base = await folder();
    const [from, to] = [join(base, "from"), join(base, "to")];
    await expect(disk.rename(from, to)).rejects.toThrow(DiskError);
    await expect(disk.link(from, to)).rejects.toThrow(DiskError);
  });
});

describe("the file disk", () => {
  test("gives a file its mode whatever the umask, also a file that was there", async () => {
    const path = join(await temporaryFolder(), "a");
    await writeFile(path, "before");
    await chmod(path, 0o777);
    await fileDisk.write(path, bytes("x"), { mode: 0o622 });
    expect((await stat(path)).mode & 0o777).toBe(0o622);
  });

  test("a write never goes through a link that stands at its path", async () => {
    const folder = await temporaryFolder();
    await writeFile(join(folder, "victim"), "safe");
    await symlink(join(folder, "victim"), join(folder, "a"));
    await fileDisk.write(join(folder, "a"), bytes("x"), attributes);
    expect(await readFile(join(folder, "victim"), "utf8")).toBe("safe");
  });

  test("a folder or a named pipe at a target is refused, without hanging", async () => {
    const folder = await temporaryFolder();
    await mkdir(join(folder, "dir"));
    execFileSync("mkfifo", [join(folder, "pipe")]);
    for (const name of ["dir", "pipe"]) {
      await expect(fileDisk.read(join(folder, name), 10)).rejects.toThrow(DiskError);
    }
  });

  test("a full file system is failed and keeps the old content", async (context) => {
    const folder = await temporaryFolder();
    const small = join(folder, "small");
    await mkdir(small);
    try {
      execFileSync("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", small], { stdio: "ignore" });
    } catch {
      // Mounting needs root; the memory disk's tests cover the same rule.
      context.skip("cannot mount a tmpfs here");
    }
    cleanups.push(() => execFileSync("umount", [small]));
    const core = createAgentCore(
      {
        disk: fileDisk,
        runner: { run: async () => good },
        clock: new ManualClock(),
        random: createRandom("full"),
        log: silentLogger,
      },
      {
        host: "h1",
        cluster: "c1",
        agentVersion: "test/1",
        targets: { folder: small, listed: new Map(), acceptUnlisted: true },
      },
    );
    await core.open();
    await core.handleSync(fullSync("1.1.1", { "a.conf": "old" }));
    const answer = await core.handleSync(fullSync("1.2.1", { "a.conf": "x".repeat(60_000) }));
    expect(answer).toMatchObject({
      status: 200,
      body: {
        configs: [
          {
            name: "a.conf",
            result: "failed",
            message: expect.stringContaining("ENOSPC") as unknown,
          },
        ],
      },
    });
    expect(await readFile(join(small, "configs/a.conf"), "utf8")).toBe("old");
    await core.handleSync(fullSync("1.3.1", { "a.conf": "small again" }));
    expect(await readFile(join(small, "configs/a.conf"), "utf8")).toBe("small again");
  });
});
