/**
 * Real DynamoDB Local for tests: one Java process in memory, on a port of this machine.
 *
 * It is not always to be had (no Java, nothing to fetch it from): the caller gets the reason and
 * says so, instead of passing without having tested anything.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { promisify } from "node:util";
import { fetchDynamodbLocal } from "../scripts/fetch-dynamodb-local.ts";

const startTimeoutMs = 60_000;
const pollMs = 100;
const stopTimeoutMs = 5_000;
/** For a process of a minute or two: what the optimizing compiler costs it never earns back. */
const shortLived = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"];

export interface DynamodbLocal {
  /** URL for the SDK. */
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** Fetches and starts it; `unavailable` says in words why it cannot run here. */
export async function startDynamodbLocal(): Promise<
  DynamodbLocal | { readonly unavailable: string }
> {
  try {
    await promisify(execFile)("java", ["-version"]);
  } catch (error) {
    return { unavailable: `no Java (${firstLine(error)})` };
  }
  let folder: string;
  try {
    folder = await fetchDynamodbLocal();
  } catch (error) {
    return { unavailable: `it cannot be fetched (${firstLine(error)})` };
  }
  return launch(folder);
}

async function launch(folder: string): Promise<DynamodbLocal> {
  const port = await freePort();
  const child = spawn(
    "java",
    [
      ...shortLived,
      "-Djava.library.path=DynamoDBLocal_lib",
      "-jar",
      "DynamoDBLocal.jar",
      "-inMemory",
      "-sharedDb",
      "-disableTelemetry",
      "-port",
      String(port),
    ],
    { cwd: folder, stdio: ["ignore", "ignore", "pipe"] },
  );
  let complaint = "";
  child.stderr.on("data", (chunk: Buffer) => {
    complaint = (complaint + chunk.toString()).slice(-2_000);
  });
  const endpoint = `http://127.0.0.1:${port}`;
  try {
    await untilAnswering(endpoint, child);
  } catch (error) {
    await stop(child);
    throw new Error(`DynamoDB Local did not start: ${complaint}`, { cause: error });
  }
  return { endpoint, stop: () => stop(child) };
}

/** Any HTTP answer will do: it refuses an unsigned request with status 400. */
async function untilAnswering(endpoint: string, child: ChildProcess): Promise<void> {
  const endMs = performance.now() + startTimeoutMs;
  for (;;) {
    try {
      const answer = await fetch(endpoint, { signal: AbortSignal.timeout(1_000) });
      await answer.arrayBuffer();
      return;
    } catch (error) {
      if (child.exitCode !== null || performance.now() >= endMs) throw error;
    }
    await new Promise((resolve) => {
      setTimeout(resolve, pollMs);
    });
  }
}

async function stop(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, "exit");
  child.kill("SIGTERM");
  const timer = setTimeout(() => child.kill("SIGKILL"), stopTimeoutMs);
  await exited;
  clearTimeout(timer);
}

/** DynamoDB Local takes no port 0; between this and its own listen another process may be faster. */
async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split("\n", 1)[0] ?? "";
}
