/**
 * The containers of a cluster as values: which image, which command, which fixed addresses.
 *
 * Every interval of a node that decides about eviction keeps its default: those are what is proved.
 * Sweeps are more frequent and the pace is slow, so that faults fall into the middle of the work. Hosts
 * of every mode are in every container; those that ask do so each second, and an attached one hears
 * from its node every two.
 */
import { join } from "node:path";
import type { HostMode } from "../../src/protocol/host-mode.ts";
import { hostKeyOf } from "../../src/protocol/host-key.ts";
import { addressOn, objectsVolume, type BoxPlan } from "./engine.ts";
import type { FleetPlan } from "./fleet-plan.ts";

export const nodeNames = ["node-1", "node-2", "node-3"] as const;
/** Those that every cluster has. */
export const hostBoxesCount = 4;
export const storeFolder = "/var/lib/dynamodb";
export const hostFolders = {
  data: "/var/lib/coxswain/hosts",
  log: "/var/lib/coxswain/apply-log",
} as const;
/** The object store: one folder in all containers of nodes and hosts. */
export const objectsFolder = "/var/lib/coxswain/objects";
/** What a node lets attach; few, so that a dead node's hosts are a crowd. */
export const attachesPerSecond = 4;

const partitionsCount = 64;
export const storeOrdinal = 5;
const nodeOrdinalBase = 10;
const hostOrdinalBase = 100;
const apiPort = 7400;
const fleetPort = 7401;
const knockPort = 7402;
const firstHostPort = 9001;
const liarPort = 8999;
const heldPort = 8998;
const programFolder = "/app/integration/chaos";
const programFiles = ["agent-fleet.ts", "lying-balancer.ts"];
const secret = "the secret that hosts of the chaos suite share with its nodes";
const secretFile = "/var/lib/coxswain/host-secret";
/** In turn: half are dialled. */
const modesInTurn: readonly HostMode[] = [
  "dial",
  "reverse",
  "dial",
  "knock",
  "dial",
  "object",
  "dial",
  "poll",
];

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
      COXSWAIN_HOST_SECRET_FILE: secretFile,
      COXSWAIN_ATTACHES_PER_SECOND: String(attachesPerSecond),
      COXSWAIN_PING_INTERVAL: "2s",
      COXSWAIN_LINK_AGE: "1m",
      COXSWAIN_KNOCK_PORT: String(knockPort),
      COXSWAIN_POLL_MIN: "1s",
      COXSWAIN_OBJECTS: `file://${objectsFolder}`,
      COXSWAIN_OBJECT_POLL: "1s",
    },
    ordinal,
    links: ["control", "store", "hosts"],
    readyText: '"msg":"listening"',
    hasHealthCheck: true,
    texts: { [secretFile]: secret },
    volumes: { [objectsVolume]: objectsFolder },
  };
}

/** What is special about a container with hosts. */
export interface HostsKind {
  /** Puts the agents' folders, not their logs, on a small disk; a restart empties it. */
  readonly diskBytes?: number;
  /** In place of hosts of every mode. */
  readonly mode?: HostMode;
  /** A load balancer that lies stands among the addresses of nodes. */
  readonly isLiedTo?: boolean;
}

/** The container `hosts-number` with `count` agents. */
export function fleetPlan(number: number, count: number, kind: HostsKind = {}): FleetPlan {
  const { mode: onlyMode, isLiedTo = false } = kind;
  const hosts = Array.from({ length: count }, (_, index) => {
    const mode = onlyMode ?? modesInTurn[index % modesInTurn.length] ?? "dial";
    const id = `${mode}-${number}-${index + 1}`;
    const key = hostKeyOf(Buffer.from(secret), id).toString("hex");
    return { id, mode, key, isDirect: number % 2 === 0 };
  });
  return {
    cluster: "coxswain",
    address: addressOn("hosts", hostOrdinalBase + number),
    firstPort: firstHostPort,
    hosts,
    nodes: nodeNames.map(fleetUrlOf),
    knockAt: nodeNames.map(knockAddressOf),
    objects: `file://${objectsFolder}`,
    liarPort: isLiedTo ? liarPort : undefined,
    heldPort,
    dataFolder: hostFolders.data,
    logFolder: hostFolders.log,
  };
}

export function hostBox(
  number: number,
  image: string,
  plan: FleetPlan,
  { diskBytes }: HostsKind = {},
): BoxPlan {
  return {
    name: `hosts-${number}`,
    image,
    entrypoint: ["node", `${programFolder}/agent-fleet.ts`],
    command: [],
    environment: { CHAOS_FLEET: JSON.stringify(plan) },
    ordinal: hostOrdinalBase + number,
    links: ["hosts"],
    readyText: "agents listening",
    hasHealthCheck: false,
    files: programFiles.map((name) => ({
      source: join(import.meta.dirname, name),
      target: `${programFolder}/${name}`,
    })),
    volumes: { [objectsVolume]: objectsFolder },
    ...(diskBytes === undefined
      ? {}
      : { memoryFolders: { [hostFolders.data]: { bytes: diskBytes } } }),
  };
}

/** Their ids say it. */
export function modeOf(host: string): string {
  return host.slice(0, host.indexOf("-"));
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
  return hosts.map(({ id, mode }, index) =>
    JSON.stringify({
      id,
      mode,
      address: `http://${address}:${firstPort + index}`,
      labels: { role: "edge" },
    }),
  );
}

/** What such a host reports while its partition moves may be lost; it says it again after 5 min. */
export function mayLag(host: string): boolean {
  return modeOf(host) === "object";
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

/** As agents have it: host:port. */
export function knockAddressOf(name: string): string {
  return `${addressOn("hosts", nodeOrdinal(name))}:${knockPort}`;
}
