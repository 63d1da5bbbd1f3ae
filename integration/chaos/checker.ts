/**
 * The oracle of the chaos suite: reads what every host wrote down about itself, and what was
 * published, and says which promises were broken.
 *
 * A host's log has one line for each durable state it reached, written before the sync was answered.
 * It is independent of the control plane: nothing a node believes enters a verdict, except where the
 * verdict is about that belief. Pure: values in, text out.
 */
import { manifestDigestOf, type Digest } from "../../src/protocol/digest.ts";

/** One line of a host's log. */
export interface ApplyRecord {
  readonly host: string;
  /** `open`: found on disk at a start; `sync`: durable before the reply to a sync. */
  readonly event: "open" | "sync";
  /** Null before the first sync. */
  readonly fence: string | null;
  readonly manifest: Digest;
  readonly configs: readonly { readonly name: string; readonly digest: Digest }[];
  /** Wall-clock time of the container, for people. */
  readonly at: string;
}

/** One attempt to put a release on every host, in the order of the attempts. */
export interface Publication {
  readonly config: string;
  readonly digest: Digest;
  /** `unknown`: no answer or an error came, so that it may or may not have taken effect. */
  readonly outcome: "acknowledged" | "unknown";
}

/** What a node says about a host. */
interface Reported {
  readonly sync: string;
  readonly manifest: Digest | undefined;
}

export interface Evidence {
  readonly published: readonly Publication[];
  readonly logs: ReadonlyMap<string, readonly ApplyRecord[]>;
  /** Digests of the files as they lie on the disk of each host, by config. */
  readonly files: ReadonlyMap<string, ReadonlyMap<string, Digest>>;
  /** Hosts that must hold the last desired state: all that can be reached at the end. */
  readonly reachable: readonly string[];
  /** What the control plane reports at the end; undefined leaves that out (it has no store, say). */
  readonly reported?: ReadonlyMap<string, Reported> | undefined;
  /** Hosts that the control plane may hear of later than it is asked. Default none. */
  readonly mayLag?: (host: string) => boolean;
}

export interface Verdict {
  /** One sentence each; empty where every promise held. */
  readonly violations: readonly string[];
  /** Of them, how often a host went back, and how often one lacks what was acknowledged to it or by it. */
  readonly regressionsCount: number;
  readonly lostCount: number;
  readonly hostsCount: number;
  readonly appliesCount: number;
}

export function check(evidence: Evidence): Verdict {
  const logs = [...evidence.logs].toSorted(([left], [right]) => (left < right ? -1 : 1));
  const reachable = evidence.reachable.toSorted();
  const regressions = logs.flatMap(([host, records]) => [
    ...fencesGoingBack(host, records),
    ...contentsGoingBack(host, records, evidence.published),
  ]);
  const strange = logs.flatMap(([host, records]) => unpublished(host, records, evidence.published));
  const lost = reachable.flatMap((host) => [
    ...notConverged(host, evidence),
    ...misreported(host, evidence),
  ]);
  return {
    violations: [...regressions, ...strange, ...lost],
    regressionsCount: regressions.length,
    lostCount: lost.length,
    hostsCount: logs.length,
    appliesCount: logs.reduce((sum, [, records]) => sum + records.length, 0),
  };
}

/** Reads a log's text; a torn last line (killed in the middle of a write) is left out. */
export function parseApplyLog(text: string): ApplyRecord[] {
  const lines = text.split("\n");
  lines.pop();
  return lines.filter((line) => line !== "").map((line) => JSON.parse(line) as ApplyRecord);
}

/** A restart counts too: what was durable before it must be there after it. */
function fencesGoingBack(host: string, records: readonly ApplyRecord[]): string[] {
  const violations: string[] = [];
  let last: string | null = null;
  for (const { fence, event, at } of records) {
    if (last !== null && (fence === null || isBehind(fence, last))) {
      violations.push(`${host}: fence went back from ${last} to ${fence} (${event} at ${at})`);
    }
    last = fence ?? last;
  }
  return violations;
}

/** Fences are `generation.fleet.host`; a higher generation starts the other two again. */
function isBehind(fence: string, last: string): boolean {
  const [generation = 0, fleet = 0, own = 0] = fence.split(".").map(Number);
  const [lastGeneration = 0, lastFleet = 0, lastOwn = 0] = last.split(".").map(Number);
  if (generation !== lastGeneration) return generation < lastGeneration;
  return fleet < lastFleet || own < lastOwn;
}

function unpublished(
  host: string,
  records: readonly ApplyRecord[],
  published: readonly Publication[],
): string[] {
  const known = new Set(published.map(({ config, digest }) => `${config} ${digest}`));
  return records.flatMap(({ manifest, configs, at }) => {
    const strange = configs.filter(({ name, digest }) => !known.has(`${name} ${digest}`));
    const isOwnManifest = manifestDigestOf(configs) === manifest;
    return [
      ...strange.map(
        ({ name, digest }) => `${host}: held ${name} ${digest}, never published (${at})`,
      ),
      ...(isOwnManifest
        ? []
        : [`${host}: manifest ${manifest} is not that of its configs (${at})`]),
    ];
  });
}

/**
 * Follows each config along the order of publication. A release that was published twice (an undo)
 * counts as going forward while a later publication of it is left.
 */
function contentsGoingBack(
  host: string,
  records: readonly ApplyRecord[],
  published: readonly Publication[],
): string[] {
  const violations: string[] = [];
  for (const config of new Set(published.map((publication) => publication.config))) {
    const order = published.filter((one) => one.config === config).map(({ digest }) => digest);
    let position = -1;
    for (const { configs, event, at } of records) {
      const held = configs.find(({ name }) => name === config)?.digest;
      if (held === undefined) {
        if (position >= 0) violations.push(`${host}: lost ${config} (${event} at ${at})`);
        continue;
      }
      const next = order.indexOf(held, Math.max(position, 0));
      if (next >= 0) position = next;
      else if (order.includes(held)) {
        violations.push(`${host}: ${config} went back to ${held} (${event} at ${at})`);
      }
    }
  }
  return violations;
}

/** The last acknowledged release, or one tried after it that may have taken effect. */
function allowedAtEnd(published: readonly Publication[], config: string): ReadonlySet<Digest> {
  const own = published.filter((publication) => publication.config === config);
  const last = own.findLastIndex(({ outcome }) => outcome === "acknowledged");
  return new Set(own.slice(Math.max(last, 0)).map(({ digest }) => digest));
}

function notConverged(host: string, { published, logs, files }: Evidence): string[] {
  const configs = [...new Set(published.map(({ config }) => config))];
  const held = logs.get(host)?.at(-1)?.configs ?? [];
  return configs.flatMap((config) => {
    const allowed = allowedAtEnd(published, config);
    const logged = held.find(({ name }) => name === config)?.digest;
    const onDisk = files.get(host)?.get(config);
    const wrong: string[] = [];
    if (logged === undefined || !allowed.has(logged)) {
      wrong.push(`${host}: ended with ${config} ${logged}, expected ${[...allowed].join(" or ")}`);
    }
    if (onDisk !== logged) {
      wrong.push(`${host}: the file of ${config} is ${onDisk}, its agent says ${logged}`);
    }
    return wrong;
  });
}

/** An acknowledgement that a node passes on must be one that the host gave. */
function misreported(host: string, { logs, reported, mayLag }: Evidence): string[] {
  if (reported === undefined) return [];
  const report = reported.get(host);
  if (report === undefined) return [`${host}: not in the inventory`];
  if (report.sync === "pending" && mayLag?.(host) === true) return [];
  const last = logs.get(host)?.at(-1);
  if (report.sync === "applied" && report.manifest === last?.manifest) return [];
  return [
    `${host}: reported as ${report.sync} with ${report.manifest}, its own log ends with ${last?.manifest}`,
  ];
}
