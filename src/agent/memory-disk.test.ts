import { expect, it } from "vitest";
import { MemoryDisk } from "./memory-disk.ts";

const attributes = { mode: 0o644 };
const bytes = (text: string) => new TextEncoder().encode(text);

/** Loses power between a rename and its fsync; `answers` say in turn which unsynced changes are found. */
async function renameThenCrash(answers: readonly boolean[]) {
  const disk = new MemoryDisk();
  await disk.write("/d/old", bytes("old"), attributes);
  await disk.link("/d/old", "/d/kept");
  await disk.write("/d/candidate", bytes("new"), attributes);
  await disk.rename("/d/candidate", "/d/old");
  const rest = [...answers];
  disk.faults.survives = () => rest.shift() ?? false;
  disk.faults.stepsUntilCrash = 1;
  await expect(disk.rename("/d/kept", "/d/old")).rejects.toThrow("has crashed");
  disk.restart();
  return { old: disk.text("/d/old"), kept: disk.text("/d/kept") };
}

it.each([
  [true, false],
  [false, true],
  [true, true],
  [false, false],
])(
  "finds both names of a rename changed after a crash, or neither (%s, %s)",
  async (first, second) => {
    const found = await renameThenCrash([first, second]);
    const after = { old: "old", kept: undefined };
    const before = { old: "new", kept: "old" };
    expect(found).toEqual(first ? after : before);
  },
);
