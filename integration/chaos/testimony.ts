/** What hosts say and what lies on their disks, read inside their containers: no node is asked. */
import type { Digest } from "../../src/protocol/digest.ts";
import { hostFolders } from "./boxes.ts";
import { parseApplyLog, type ApplyRecord } from "./checker.ts";
import type { Engine } from "./engine.ts";
import type { FleetPlan } from "./fleet-plan.ts";

const fileMark = "=== ";
const askTimeoutMs = 2_000;

/** The whole log of each host in the containers. */
export async function readLogs(
  engine: Engine,
  boxes: readonly string[],
): Promise<Map<string, ApplyRecord[]>> {
  return merged(boxes.map((box) => readBoxLogs(engine, box)));
}

/** Digests of the config files of each host in the containers, by config. */
export async function readFiles(
  engine: Engine,
  boxes: readonly string[],
): Promise<Map<string, Map<string, Digest>>> {
  return merged(boxes.map((box) => readBoxFiles(engine, box)));
}

/**
 * The same as the containers say, which costs no process in each of them; one that does not answer has
 * none. For waiting: what is proved in the end is read by `readFiles`.
 */
export async function askFiles(
  plans: readonly FleetPlan[],
): Promise<Map<string, Map<string, Digest>>> {
  return merged(plans.map((plan) => askBoxFiles(plan)));
}

/** Hosts differ from container to container. */
async function merged<Value>(
  parts: readonly Promise<Map<string, Value>>[],
): Promise<Map<string, Value>> {
  return new Map((await Promise.all(parts)).flatMap((part) => [...part]));
}

async function readBoxLogs(engine: Engine, box: string): Promise<Map<string, ApplyRecord[]>> {
  const text = await engine.shell(
    box,
    `cd ${hostFolders.log} && for file in *.jsonl; do echo "${fileMark}$file"; cat "$file"; done`,
  );
  return new Map(
    text
      .split(fileMark)
      .slice(1)
      .map((part) => {
        const end = part.indexOf("\n");
        return [part.slice(0, end).replace(".jsonl", ""), parseApplyLog(part.slice(end + 1))];
      }),
  );
}

async function readBoxFiles(
  engine: Engine,
  box: string,
): Promise<Map<string, Map<string, Digest>>> {
  const text = await engine.shell(
    box,
    `cd ${hostFolders.data} && find . -path './*/configs/*' -type f ! -name '.*' | xargs -r sha256sum`,
  );
  const files = new Map<string, Map<string, Digest>>();
  for (const [, hex, host, config] of text.matchAll(
    /^([0-9a-f]{64}) {2}\.\/([^/]+)\/configs\/(.+)$/gm,
  )) {
    const own = files.get(host ?? "") ?? new Map<string, Digest>();
    files.set(host ?? "", own.set(config ?? "", `sha256:${hex}`));
  }
  return files;
}

async function askBoxFiles({
  address,
  heldPort,
}: FleetPlan): Promise<Map<string, Map<string, Digest>>> {
  try {
    const signal = AbortSignal.timeout(askTimeoutMs);
    const reply = await fetch(`http://${address}:${heldPort}/held`, { signal });
    const held = (await reply.json()) as Record<string, Record<string, Digest>>;
    return new Map(
      Object.entries(held).map(([host, files]) => [host, new Map(Object.entries(files))]),
    );
  } catch {
    // It is down, frozen or cut off at this moment.
    return new Map();
  }
}
