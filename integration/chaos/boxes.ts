/**
 * The containers of a cluster as values: which image, which command, which fixed addresses.
 *
 * Every interval of a node that decides about eviction keeps its default: those are what is proved.
 * Sweeps are more frequent and the pace is slow, so that faults fall into the middle of the work.
 */
import { join } from "node:path";
import { addressOn, type BoxPlan } from "./engine.ts";
import type { FleetPlan } from "./fleet-plan.ts";

export const nodeNames = ["node-1", "node-2", "node-3"] as const;
/** Those that every cluster has. */
export const hostBoxesCount = 4;
export const storeFolder = "/var/lib/dynamodb";
export const hostFolders = {
  data: "/var/lib/coxswain/hosts",
  log: "/var/lib/coxswain/apply-log",
} as const;

const partitionsCount = 64;
export const storeOrdinal = 5;
const nodeOrdinalBase = 10;
const hostOrdinalBase = 100;
const apiPort = 7400;
const fleetPort = 7401;
const firstHostPort = 9001;
const fleetEntry = "/app/integration/chaos/agent-fleet.ts";

/** DynamoDB Local takes any credentials, but wants some. */
export const storeAccess = {
  endpoint: `http://${addressOn("store", storeOrdinal)}:8000`,
  table: "coxswain",
  region: "local",
  credentials: { accessKeyId: "chaos", secretAccessKey: "chaos" },
} as const;

const storeEnvironment = {
  COXSWAIN_STORE_ENDPOINT: storeAccess.endpoint,
  COXSWAIN_STORE_TABLE: storeAccess.table,
  COXSWAIN_STORE_REGION: storeAccess.region,
  AWS_ACCESS_KEY_ID: storeAccess.credentials.accessKeyId,
  AWS_SECRET_ACCESS_KEY: storeAccess.credentials.secretAccessKey,
};

export function storeBox(image: string): BoxPlan {
  const java = [
    "-Djava.library.path=./DynamoDBLocal_lib",
    "-jar",
    "DynamoDBLocal.jar",
    "-sharedDb",
    "-disableTelemetry",
    "-dbPath",
    storeFolder,
  ];
  return {
    name: "store",
    image,
    // The folder must be there, and on the container's disk: a stopped store keeps its data.
    entrypoint: ["sh", "-c", `mkdir -p ${storeFolder} && exec java "$@"`, "java"],
    command: java,
    environment: {},
    ordinal: storeOrdinal,
    links: ["store"],
    readyText: "Port:",
    hasHealthCheck: false,
  };
}

/** Arguments and environment of the one `init`. */
export const initCommand = ["init", "--partitions", String(partitionsCount)];
export const initEnvironment = Object.entries(storeEnvironment).map(
  ([key, value]) => `${key}=${value}`,
);

export function nodeBox(name: string, image: string): BoxPlan {
  const ordinal = nodeOrdinal(name);
  return {
    name,
    image,
    command: ["node"],
    environment: {
      ...storeEnvironment,
      COXSWAIN_SLOT: name,
      COXSWAIN_API_HOST: "0.0.0.0",
      COXSWAIN_API_URL: apiUrlOf(name),
      COXSWAIN_FLEET_HOST: "0.0.0.0",
      COXSWAIN_FLEET_URL: fleetUrlOf(name),
      COXSWAIN_ALLOW_INSECURE_BIND: "true",
      COXSWAIN_SWEEP_INTERVAL: "5s",
      COXSWAIN_PUSH_DEADLINE: "2s",
      COXSWAIN_PUSHES_PER_SECOND: "40",
    },
    ordinal,
    links: ["control", "store", "hosts"],
    readyText: '"msg":"listening"',
    hasHealthCheck: true,
  };
}

/** The container `hosts-number` with `count` agents. */
export function fleetPlan(number: number, count: number): FleetPlan {
  return {
    cluster: "coxswain",
    address: addressOn("hosts", hostOrdinalBase + number),
    firstPort: firstHostPort,
    hosts: Array.from({ length: count }, (_, index) => `host-${number}-${index + 1}`),
    nodes: nodeNames.map(fleetUrlOf),
    dataFolder: hostFolders.data,
    logFolder: hostFolders.log,
  };
}

/** `diskBytes` puts the agents' folders, not their logs, on a small disk; a restart empties it. */
export function hostBox(
  number: number,
  image: string,
  plan: FleetPlan,
  diskBytes?: number,
): BoxPlan {
  return {
    name: `hosts-${number}`,
    image,
    entrypoint: ["node", fleetEntry],
    command: [],
    environment: { CHAOS_FLEET: JSON.stringify(plan) },
    ordinal: hostOrdinalBase + number,
    links: ["hosts"],
    readyText: "agents listening",
    hasHealthCheck: false,
    files: [{ source: join(import.meta.dirname, "agent-fleet.ts"), target: fleetEntry }],
    ...(diskBytes === undefined
      ? {}
      : { memoryFolders: { [hostFolders.data]: { bytes: diskBytes } } }),
  };
}

/** True where all containers of a cluster run, and no others are there. */
export function isWhole(states: ReadonlyMap<string, string>): boolean {
  const hostBoxes = Array.from({ length: hostBoxesCount }, (_, index) => `hosts-${index + 1}`);
  const expected = ["store", ...nodeNames, ...hostBoxes];
  return (
    states.size === expected.length && expected.every((name) => states.get(name) === "running")
  );
}

/** Records for the inventory, as the import takes them. */
export function hostRecords({ hosts, address, firstPort }: FleetPlan): string[] {
  return hosts.map((id, index) =>
    JSON.stringify({
      id,
      address: `http://${address}:${firstPort + index}`,
      labels: { role: "edge" },
    }),
  );
}

export function nodeOrdinal(name: string): number {
  return nodeOrdinalBase + Number(name.slice("node-".length));
}

export function apiUrlOf(name: string): string {
  return `http://${addressOn("control", nodeOrdinal(name))}:${apiPort}`;
}

function fleetUrlOf(name: string): string {
  return `http://${addressOn("hosts", nodeOrdinal(name))}:${fleetPort}`;
}
