import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { createRandom } from "../kernel/random.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import { parseFence } from "../protocol/fence.ts";
import { createHost, good, manifestOf, results, target } from "./agent-fixture.ts";
import { DiskError } from "./disk.ts";
import { fullSync, shortSync } from "./sync-builder.ts";

const listed = {
  "a.conf": target({ path: "/etc/a.conf", reload: ["reload", "a"] }),
  "b.conf": target({ path: "/etc/b.conf", reload: ["reload", "b"] }),
  "c.conf": target({ path: "/etc/c.conf", reload: ["reload", "c"] }),
};
/** a changes, b is removed, c is new. */
const old = { "a.conf": "old a", "b.conf": "old b" };
const next = { "a.conf": "new a", "c.conf": "new c" };

async function hostWithOld() {
  const host = await createHost({ listed });
  await host.sync(fullSync("1.1.1", old));
  host.commands.length = 0;
  return host;
}

type Host = Awaited<ReturnType<typeof hostWithOld>>;

function filesOf({ disk }: Host) {
  return ["a", "b", "c"].map((name) => disk.text(`/etc/${name}.conf`));
}

const oldFiles = ["old a", "old b", undefined];
const newFiles = ["new a", undefined, "new c"];

/** Sub-steps of the disk that one undisturbed change takes. */
async function stepsOfOneChange(): Promise<number> {
  const host = await hostWithOld();
  const before = host.disk.stepCount;
  await host.sync(fullSync("1.2.1", next));
  expect(filesOf(host)).toEqual(newFiles);
  return host.disk.stepCount - before;
}

describe("a crash", () => {
  test("at any step leaves all of the old or all of the new, and no fence goes down", async () => {
    const stepCount = await stepsOfOneChange();
    expect(stepCount).toBeGreaterThan(30);
    const seen = new Set<string>();
    for (let crashAt = 0; crashAt <= stepCount; crashAt++) {
      for (const survives of [() => false, () => true, everyOther(0), everyOther(1)]) {
        const host = await hostWithOld();
        host.disk.faults.survives = survives;
        host.disk.faults.stepsUntilCrash = crashAt;
        const answered = await host.sync(fullSync("1.2.1", next)).catch(() => undefined);
        host.disk.restart();
        await host.reopen();
        const { manifest, fence } = host.core.held();
        const isNew = manifest === manifestOf(next);
        expect(manifest).toBe(manifestOf(isNew ? next : old));
        expect(filesOf(host)).toEqual(isNew ? newFiles : oldFiles);
        expect(["1.1.1", "1.2.1"].map(parseFence)).toContainEqual(fence);
        // What was answered was durable before, and nothing of a change is at a target before the
        // fence that allowed it is durable.
        expect({ isAnswered: answered !== undefined, isNew }).not.toEqual({
          isAnswered: true,
          isNew: false,
        });
        const isFenceNeeded = isNew || host.commands.length > 0;
        expect(fence?.fleet).toBeGreaterThanOrEqual(isFenceNeeded ? 2 : 1);
        const { reply } = await host.sync(fullSync("1.2.1", next));
        expect(reply.manifest).toBe(manifestOf(next));
        expect(filesOf(host)).toEqual(newFiles);
        expect(host.disk.paths().filter((path) => path.includes("previous"))).toEqual([]);
        seen.add(`${isNew} ${fence?.fleet}`);
      }
    }
    expect([...seen].toSorted()).toEqual(["false 1", "false 2", "true 2"]);
  });

  test("while the crash itself is being undone is undone at the next start", async () => {
    const stepCount = await stepsOfOneChange();
    for (let crashAt = 0; crashAt <= stepCount; crashAt += 3) {
      for (let again = 0; again < 12; again += 2) {
        const host = await hostWithOld();
        host.disk.faults.stepsUntilCrash = crashAt;
        await host.sync(fullSync("1.2.1", next)).catch(() => undefined);
        host.disk.restart();
        host.disk.faults.stepsUntilCrash = again;
        await host.reopen().catch(() => undefined);
        host.disk.restart();
        await host.reopen();
        const isNew = host.core.held().manifest === manifestOf(next);
        expect(host.core.held().manifest).toBe(manifestOf(isNew ? next : old));
        expect(filesOf(host)).toEqual(isNew ? newFiles : oldFiles);
      }
    }
  });

  test("between swap and record reloads the program with the old content", async () => {
    const host = await hostWithOld();
    host.disk.faults.onStep = ({ kind, path }) => {
      if (kind === "rename" && path === "/etc/c.conf") host.disk.faults.stepsUntilCrash = 0;
    };
    await expect(host.sync(fullSync("1.2.1", next))).rejects.toThrow("crashed");
    expect(host.commands).toEqual(["reload a"]);
    host.disk.faults.onStep = () => {};
    host.disk.restart();
    await host.reopen();
    expect(host.commands).toEqual(["reload a", "reload a"]);
    expect(filesOf(host)).toEqual(oldFiles);
  });

  test("does not undo what someone else changed in the meantime", async () => {
    const host = await hostWithOld();
    host.disk.faults.onStep = ({ kind, path }) => {
      if (kind === "rename" && path === "/etc/c.conf") host.disk.faults.stepsUntilCrash = 0;
    };
    await expect(host.sync(fullSync("1.2.1", next))).rejects.toThrow("crashed");
    host.disk.faults.onStep = () => {};
    host.disk.restart();
    host.disk.tamper("/etc/a.conf", "by hand");
    await host.reopen();
    expect(host.disk.text("/etc/a.conf")).toBe("by hand");
    expect(host.core.held().manifest).toBe(manifestOf({ "b.conf": "old b" }));
  });

  test("property: with any syncs and crashes the fence read back never goes down", async () => {
    const step = fc.record({
      fleet: fc.integer({ min: 0, max: 6 }),
      stepsUntilCrash: fc.integer({ min: 0, max: 60 }),
      isShort: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), fc.string(), async (steps, seed) => {
        const host = await hostWithOld();
        const random = createRandom(seed);
        let fleetMin = 1;
        for (const { fleet, stepsUntilCrash, isShort } of steps) {
          const contents = { "a.conf": `a of ${fleet}`, "c.conf": `c of ${fleet}` };
          const build = isShort ? shortSync : fullSync;
          host.disk.faults.survives = () => random.next() < 0.5;
          host.disk.faults.stepsUntilCrash = stepsUntilCrash;
          const answer = await host.sync(build(`1.${fleet}.1`, contents)).catch(() => undefined);
          if (answer?.status === 200) fleetMin = Math.max(fleetMin, fleet);
          host.disk.restart();
          await host.reopen();
          const { fence } = host.core.held();
          expect(fence?.fleet).toBeGreaterThanOrEqual(fleetMin);
          fleetMin = fence?.fleet ?? 0;
        }
      }),
      { numRuns: 40 },
    );
  });

  test("of a disk that lies about fsync is never taken for a good state", async () => {
    for (let crashAt = 0; crashAt < 40; crashAt++) {
      const host = await hostWithOld();
      const random = createRandom(`lost fsync ${crashAt}`);
      host.disk.faults.losesFsync = true;
      host.disk.faults.survives = () => random.next() < 0.5;
      host.disk.faults.stepsUntilCrash = crashAt;
      await host.sync(fullSync("1.2.1", next)).catch(() => undefined);
      host.disk.restart();
      const problem = await host.reopen().catch((error: unknown) => error);
      expect([undefined, "AGENT_STATE_CORRUPT"]).toContain(
        isCoxswainError(problem) ? problem.code : problem,
      );
      if (problem !== undefined) continue;
      // What is reported as held is really in the files.
      for (const { name, digest } of host.core.held().configs) {
        const file = host.disk.text(`/etc/${name}`) ?? "";
        expect(fullSync("1.1.1", { [name]: file }).body.configs?.[0]?.digest).toBe(digest);
      }
    }
  });
});

function everyOther(start: number): () => boolean {
  let count = start;
  return () => count++ % 2 === 0;
}

describe("a full disk", () => {
  test("at any write is failed, the old content runs, and room later heals", async () => {
    const full: string[] = [];
    for (let refused = 0; refused < 12; refused++) {
      const host = await hostWithOld();
      let writeCount = 0;
      host.disk.faults.onStep = ({ kind, path }) => {
        if (kind !== "write" || writeCount++ < refused) return;
        full.push(path);
        throw new DiskError(`ENOSPC: no space left on device, write '${path}'`);
      };
      const { status, reply } = await host.sync(fullSync("1.2.1", next));
      if (writeCount <= refused) break;
      expect(status).toBe(200);
      expect(Object.values(results(reply))).toContain("failed");
      expect(reply.configs.find(({ result }) => result === "failed")?.message).toMatch(/ENOSPC/);
      for (const { name, digest } of reply.configs) {
        if (digest === undefined) continue;
        const file = host.disk.text(`/etc/${name}`) ?? "";
        expect(fullSync("1.1.1", { [name]: file }).body.configs?.[0]?.digest).toBe(digest);
      }
      expect(host.disk.text("/etc/a.conf")).toMatch(/^(?:old|new) a$/);
      host.disk.faults.onStep = () => {};
      await host.reopen();
      const healed = await host.sync(fullSync("1.2.1", next));
      expect(healed.reply.manifest).toBe(manifestOf(next));
      expect(filesOf(host)).toEqual(newFiles);
    }
    expect(new Set(full)).toContain("/agent/.state.coxswain-candidate");
    expect(new Set(full)).toContain("/etc/.a.conf.coxswain-candidate");
  });

  test("for the record of a change takes the change back", async () => {
    const host = await hostWithOld();
    let stateWriteCount = 0;
    host.disk.faults.onStep = ({ kind, path }) => {
      if (kind !== "write" || !path.startsWith("/agent/.state")) return;
      if (++stateWriteCount === 2) throw new DiskError("ENOSPC");
    };
    const { reply } = await host.sync(fullSync("1.2.1", next));
    expect(reply).toMatchObject({ fence: "1.2.1", manifest: manifestOf(old) });
    expect(results(reply)).toEqual({ "a.conf": "failed", "b.conf": "failed", "c.conf": "failed" });
    expect(filesOf(host)).toEqual(oldFiles);
    await host.reopen();
    expect(host.core.held().manifest).toBe(manifestOf(old));
  });

  test("does not raise the fence that a reply states", async () => {
    const host = await hostWithOld();
    host.disk.faults.capacityBytes = 1;
    const full = await host.sync(fullSync("1.2.1", next));
    const short = await host.sync(shortSync("1.3.1", next));
    expect([full.reply.fence, short.reply.fence]).toEqual(["1.1.1", "1.1.1"]);
    expect(results(short.reply)).toEqual({ "a.conf": "failed", "b.conf": "failed" });
    expect(filesOf(host)).toEqual(oldFiles);
  });

  test("does not keep a failed reload from going back", async () => {
    const host = await createHost({
      listed,
      run: ({ argv }) =>
        host.disk.text(`/etc/${argv[1]}.conf`)?.startsWith("new")
          ? { kind: "exited", code: 1, output: "no" }
          : good,
    });
    await host.sync(fullSync("1.1.1", old));
    host.disk.faults.onStep = ({ kind, path }) => {
      if (kind === "rename" && path === "/etc/a.conf") host.disk.faults.capacityBytes = 0;
    };
    const { reply } = await host.sync(fullSync("1.2.1", { ...old, "a.conf": "new a" }));
    expect(results(reply)).toMatchObject({ "a.conf": "failed" });
    expect(reply.manifest).toBe(manifestOf(old));
    expect(filesOf(host)).toEqual(oldFiles);
  });
});
