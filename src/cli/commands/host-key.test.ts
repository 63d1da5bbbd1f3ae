import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hostKeyOf } from "../../protocol/host-key.ts";
import { runCommand } from "../cli-fixture.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "coxswain-host-key-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

async function secretFile(bytes: number): Promise<string> {
  const file = join(folder, "secret");
  await writeFile(file, Buffer.alloc(bytes, 7));
  return file;
}

test("host-key prints the key that nodes derive, and nothing else", async () => {
  const file = await secretFile(32);
  const run = await runCommand(["host-key", "edge-17", "--host-secret-file", file]);
  const key = hostKeyOf(Buffer.alloc(32, 7), "edge-17").toString("hex");
  expect(run).toEqual({ code: 0, stdout: `${key}\n`, stderr: "" });
});

test("host-key says what is wrong with the secret and with the id", async () => {
  const none = await runCommand(["host-key", "edge-17"]);
  expect(none).toMatchObject({ code: 78, stderr: expect.stringContaining("`hostSecretFile`") });
  const file = await secretFile(31);
  const short = await runCommand(["host-key", "edge-17", "--host-secret-file", file]);
  expect(short).toMatchObject({
    code: 78,
    stderr: expect.stringContaining("at least 32 bytes, got"),
  });
  const id = await runCommand(["host-key", "-x", "--host-secret-file", await secretFile(32)]);
  expect(id.code).not.toBe(0);
  expect(id.stdout).toBe("");
});
