/**
 * The demo's layout as a value: slots, ports, hosts, folders, and the config that it rolls out.
 *
 * Everything listens on 127.0.0.1. From a base port B: node i has its api at B + 10(i-1) and its fleet
 * listener one above; the store is at B + 9; host n's agent at B + 1000 + n. All stay below the
 * range from which systems take ports for outgoing connections.
 */
import { join } from "node:path";

export const demoCluster = "demo";
export const demoConfig = "routes.json";
export const nodesMax = 20;
export const hostsMax = 2_000;
/** Base ports tried in turn where none was asked for. */
export const basePorts: readonly number[] = [7400, 11_400, 15_400, 19_400, 23_400, 27_400];
export const basePortMax = 65_535 - 1_000 - hostsMax;

export interface DemoSize {
  readonly nodesCount: number;
  readonly hostsCount: number;
}

export interface NodePlan {
  readonly slot: string;
  readonly apiPort: number;
  readonly fleetPort: number;
  readonly apiUrl: string;
  readonly fleetUrl: string;
}

export interface HostPlan {
  readonly id: string;
  readonly port: number;
  readonly address: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Folder of this host: its agent's state and, under `files`, what the agent keeps. */
  readonly dir: string;
}

export interface DemoPlan {
  readonly dir: string;
  readonly logDir: string;
  readonly storeDir: string;
  readonly storePort: number;
  readonly nodes: readonly NodePlan[];
  readonly hosts: readonly HostPlan[];
}

export function planDemo(dir: string, basePort: number, size: DemoSize): DemoPlan {
  return {
    dir,
    logDir: join(dir, "logs"),
    storeDir: join(dir, "store"),
    storePort: basePort + 9,
    nodes: Array.from({ length: size.nodesCount }, (_, index) => planNode(basePort, index)),
    hosts: Array.from({ length: size.hostsCount }, (_, index) => planHost(dir, basePort, index)),
  };
}

function planNode(basePort: number, index: number): NodePlan {
  const apiPort = basePort + 10 * index;
  return {
    slot: `node-${index + 1}`,
    apiPort,
    fleetPort: apiPort + 1,
    apiUrl: `http://127.0.0.1:${apiPort}`,
    fleetUrl: `http://127.0.0.1:${apiPort + 1}`,
  };
}

function planHost(dir: string, basePort: number, index: number): HostPlan {
  const id = `host-${String(index + 1).padStart(3, "0")}`;
  const port = basePort + 1_000 + index;
  const role = index % 5 === 0 ? "core" : "edge";
  const zone = ["a", "b", "c"][index % 3] ?? "a";
  return {
    id,
    port,
    address: `http://127.0.0.1:${port}`,
    labels: { role, zone },
    dir: join(dir, "hosts", id),
  };
}

/** Every port that the demo listens on, in the order in which a conflict is reported. */
export function portsOf(plan: DemoPlan): number[] {
  return [
    ...plan.nodes.flatMap(({ apiPort, fleetPort }) => [apiPort, fleetPort]),
    plan.storePort,
    ...plan.hosts.map(({ port }) => port),
  ];
}

/** Release `number` of the demo's config: a routing table as a proxy would read it. */
export function routesOf(number: number): Buffer {
  const upstreams = ["catalogue", "cart", "checkout", "search", "accounts"];
  const routes = upstreams.map((name, index) => ({
    match: { path: `/${name}`, methods: ["GET", "POST"] },
    upstream: `http://10.20.${number % 250}.${index + 10}:8080`,
    timeoutMs: 2_000 + 100 * index,
    retries: name === "checkout" ? 0 : 2,
  }));
  return Buffer.from(`${JSON.stringify({ release: number, routes }, null, 2)}\n`);
}
