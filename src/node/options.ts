/**
 * The options of a node: every knob, its default, and why the default is what it is.
 *
 * docs/configuration.md is generated from these tables. Each option is a flag (`--beat-interval`), a
 * variable (`COXSWAIN_BEAT_INTERVAL`) and a key of the configuration file (`beatInterval`).
 */
import { logLevels } from "../kernel/log.ts";
import type { OptionRule, OptionTable, Resolved } from "../kernel/options.ts";
import { limits } from "../protocol/limits.ts";
import { shapeOptionRules, shapeOptions } from "./shape-options.ts";

/** Where the table is; `init` and `node` share these. */
export const storeOptions = {
  store: {
    type: "choice",
    default: "dynamodb",
    choices: ["dynamodb", "embedded"],
    description:
      "dynamodb: AWS DynamoDB, or what answers at --store-endpoint; embedded: a store inside this process, kept in --store-dir.",
    reason: "A cluster needs a store that every node reaches; embedded serves a single node.",
  },
  storeTable: {
    type: "text",
    default: "coxswain",
    pattern: /^[A-Za-z0-9_.-]{3,255}$/,
    description: "Name of the table.",
    reason: "One table holds one cluster.",
  },
  storeEndpoint: {
    type: "text",
    default: "",
    pattern: /^(https?:\/\/\S+)?$/,
    description: "URL of a DynamoDB-compatible endpoint; empty for AWS.",
    reason: "Empty lets the AWS SDK find the regional endpoint.",
  },
  storeRegion: {
    type: "text",
    default: "",
    description: "AWS region; empty leaves it to the AWS SDK's own settings.",
    reason: "On AWS the environment usually names the region.",
  },
  storeDir: {
    type: "text",
    default: "coxswain-store",
    description: "Folder of the embedded store.",
    reason: "Relative to the working folder, so that a trial leaves one folder behind.",
  },
  storeTimeout: {
    type: "duration",
    default: "2s",
    min: 100,
    max: 60_000,
    description: "Longest wait for one store call.",
    reason:
      "Above DynamoDB's p99.9; longer delays the verdict that the store is away, shorter calls slow answers unknown.",
  },
} as const satisfies OptionTable;

export const initOptions = {
  ...storeOptions,
  partitions: {
    type: "integer",
    default: 1024,
    min: limits.partitionsMin,
    max: limits.partitionsMax,
    description: "Number of partitions P, a power of two; fixed for the life of the cluster.",
    reason:
      "At least 150 x the most nodes you will run keeps movement near the ideal; more costs load time at takeover.",
  },
  cluster: {
    type: "text",
    default: "coxswain",
    pattern: /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    description: "Cluster id; agents refuse pushes from any other cluster.",
    reason: "Two clusters in one network must not push to each other's hosts.",
  },
  generation: {
    type: "integer",
    default: 0,
    min: 0,
    max: 2 ** 20,
    description:
      "Raise the view to this generation: hosts then take what the table says, though they have newer. 0 leaves it.",
    reason:
      "Only after a restore, when inventory, releases and rules are all in: docs/operations.md has the steps.",
  },
} as const satisfies OptionTable;

export const nodeOptions = {
  ...storeOptions,
  slot: {
    type: "text",
    default: "node-1",
    pattern: /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/,
    description: "Stable name of this node; a restart under the same slot moves no host.",
    reason: "Use the ordinal of a StatefulSet or the name of the machine's role.",
  },
  processes: {
    type: "integer",
    default: 1,
    min: 1,
    max: 64,
    description:
      "Node processes that this command runs: each a member of its own, with slots `SLOT.2`, `SLOT.3`… and every port 10 higher.",
    reason: "One process uses one core well; more use the others.",
  },
  cluster: {
    type: "text",
    default: "",
    description: "Refuse to start unless the table belongs to this cluster id; empty accepts any.",
    reason: "A guard against a wrong table name.",
  },
  weight: {
    type: "integer",
    default: 1,
    min: 1,
    max: 100,
    description: "Share of the partitions relative to other nodes.",
    reason: "Equal machines get equal shares.",
  },
  zone: {
    type: "text",
    default: "",
    description: "Failure domain of this node, shown to people.",
    reason: "Placement does not look at it yet.",
  },
  apiHost: {
    type: "text",
    default: "127.0.0.1",
    description: "Address the api listener binds to.",
    reason: "Loopback until asked otherwise: the api has no authentication of its own.",
  },
  apiPort: {
    type: "integer",
    default: 7400,
    min: 0,
    max: 65_535,
    description: "Port of the api listener (people and programs); 0 picks a free one.",
    reason: "",
  },
  apiUrl: {
    type: "text",
    default: "",
    pattern: /^(https?:\/\/[^\s/]+)?$/,
    description:
      "Base URL under which people reach the api listener; empty derives it from the bind.",
    reason: "Needed behind a load balancer or with a bind to 0.0.0.0.",
  },
  fleetHost: {
    type: "text",
    default: "127.0.0.1",
    description: "Address the fleet listener binds to.",
    reason: "Loopback until asked otherwise.",
  },
  fleetPort: {
    type: "integer",
    default: 7401,
    min: 0,
    max: 65_535,
    description: "Port of the fleet listener (agents' hellos, peers' calls); 0 picks a free one.",
    reason: "",
  },
  fleetUrl: {
    type: "text",
    default: "",
    pattern: /^(https?:\/\/[^\s/]+)?$/,
    description: "Base URL under which peers and agents reach the fleet listener.",
    reason: "Needed when the bind address is not the reachable one.",
  },
  allowInsecureBind: {
    type: "flag",
    default: false,
    description: "Allow listeners on other addresses than loopback without TLS.",
    reason:
      "Whoever reaches a listener can steer the fleet: open it only inside a trusted network.",
  },
  beatInterval: {
    type: "duration",
    default: "1s",
    min: 50,
    max: 30_000,
    description: "Time between two beats, and between two reads of the members.",
    reason: "Shorter finds death sooner and costs more store calls, in proportion.",
  },
  silence: {
    type: "duration",
    default: "5s",
    min: 200,
    max: 600_000,
    description:
      "A member is silent when its beat has not changed for this long on the reader's clock.",
    reason:
      "Survives pauses of 3 s with room; shorter evicts paused nodes, longer leaves hosts unserved.",
  },
  silenceReads: {
    type: "integer",
    default: 5,
    min: 2,
    max: 100,
    description: "… and for at least this many successful reads.",
    reason: "A reader that was itself paused has not read, and so does not judge.",
  },
  joinQuiet: {
    type: "duration",
    default: "500ms",
    min: 0,
    max: 60_000,
    description: "Joins and leaves that arrive within this time of each other make one view.",
    reason: "A cold start of many nodes is then a few views, not one a node.",
  },
  overlapMax: {
    type: "duration",
    default: "10s",
    min: 0,
    max: 600_000,
    description: "Longest time the old owner goes on serving after a move.",
    reason: "It stops earlier, as soon as the new owner says that it has loaded the view.",
  },
  drainTimeout: {
    type: "duration",
    default: "25s",
    min: 0,
    max: 600_000,
    description: "Longest graceful stop; then the node goes anyway.",
    reason: "Below the 30 s that most supervisors wait before SIGKILL.",
  },
  restartGrace: {
    type: "duration",
    default: "0s",
    min: 0,
    max: 600_000,
    description:
      "Told to stop, keep the slot this long for the next process of it: nothing moves, and nobody pushes to its hosts meanwhile. 0 leaves: successors take over without a gap.",
    reason:
      "A process told to stop cannot know whether it comes back; leaving is right in both cases. For deploys that restart every node under its slot, set it above the time a restart takes.",
  },
  fleetPoll: {
    type: "duration",
    default: "1s",
    min: 50,
    max: 60_000,
    description: "Time between two reads of the rules.",
    reason: "Bounds how late a change is seen when its hint was lost.",
  },
  headPoll: {
    type: "duration",
    default: "10s",
    min: 100,
    max: 600_000,
    description: "Time between two reads of the owned partitions' counters.",
    reason: "Bounds how late a host change is seen when its hint was lost; constant work.",
  },
  checkpointInterval: {
    type: "duration",
    default: "5s",
    min: 100,
    max: 600_000,
    description:
      "A partition's acknowledged state is written at most this often; while a rollout runs, up to as much later.",
    reason: "A million acknowledgements must not be a million writes.",
  },
  sweepInterval: {
    type: "duration",
    default: "1m",
    min: 1_000,
    max: 3_600_000,
    description: "Every host is synced once in this time, changed or not.",
    reason: "Finds drift and death; the load is hosts / interval, on quiet days too.",
  },
  pushDeadline: {
    type: "duration",
    default: "5s",
    min: 50,
    max: 300_000,
    description: "Total time for one push: connect, send, apply at the host, reply.",
    reason:
      "Must cover the host's check and reload commands; longer lets dead hosts hold more slots.",
  },
  pushesPerSecond: {
    type: "integer",
    default: 2_000,
    min: 1,
    max: 1_000_000,
    description: "Pace of this node: never more pushes a second than this.",
    reason: "About half of what one core sends, so that beats and the api always have room.",
  },
  inFlight: {
    type: "integer",
    default: 128,
    min: 1,
    max: 10_000,
    description: "Pushes under way at once to healthy hosts.",
    reason: "Enough to cover round trips; more only queues at the machine.",
  },
  suspectInFlight: {
    type: "integer",
    default: 16,
    min: 1,
    max: 1_000,
    description: "Pushes under way at once to hosts that failed last time.",
    reason: "Dead hosts wait here for their deadline and hold up nobody else.",
  },
  sockets: {
    type: "integer",
    default: 4_096,
    min: 16,
    max: 1_000_000,
    description: "Host connections kept open; the least recently used closes first.",
    reason: "Bounds memory and open files; a closed connection costs one connect at the next push.",
  },
  tlsCa: {
    type: "text",
    default: "",
    description: "File with the PEM certificates that https hosts must chain to.",
    reason: "Empty trusts what Node.js trusts; a fleet usually has an authority of its own.",
  },
  tlsCert: {
    type: "text",
    default: "",
    description: "File with this node's PEM certificate, shown to https hosts.",
    reason: "Hosts that ask for a client certificate refuse pushes of anybody else.",
  },
  tlsKey: {
    type: "text",
    default: "",
    description: "File with the PEM key of `tlsCert`.",
    reason: "Read once at start; restart the node to rotate it.",
  },
  ...shapeOptions,
  logLevel: {
    type: "choice",
    default: "info",
    choices: logLevels,
    description: "Least severe log line that is written (JSON, standard error).",
    reason: "info is one line for each change of state.",
  },
} as const satisfies OptionTable;

export type NodeOptions = Resolved<typeof nodeOptions>;
export type StoreOptions = Resolved<typeof storeOptions>;

/** Rules that join two options of a node. */
export const nodeOptionRules: readonly OptionRule<typeof nodeOptions>[] = [
  ...shapeOptionRules,
  ({ silenceMs, beatIntervalMs }) =>
    silenceMs >= 3 * beatIntervalMs
      ? undefined
      : `Expected \`silence\` to be at least 3 x \`beatInterval\` (${3 * beatIntervalMs} ms), got ${silenceMs} ms`,
  ({ sweepIntervalMs, pushDeadlineMs }) =>
    sweepIntervalMs > pushDeadlineMs
      ? undefined
      : `Expected \`sweepInterval\` to be longer than \`pushDeadline\` (${pushDeadlineMs} ms), got ${sweepIntervalMs} ms`,
  ({ tlsCert, tlsKey }) =>
    (tlsCert === "") === (tlsKey === "")
      ? undefined
      : `Expected \`tlsCert\` and \`tlsKey\` together, got ${tlsCert === "" ? "only `tlsKey`" : "only `tlsCert`"}`,
  (options) =>
    options.allowInsecureBind || [options.apiHost, options.fleetHost].every(isLoopback)
      ? undefined
      : `Expected \`apiHost\` and \`fleetHost\` to be loopback addresses unless \`allowInsecureBind\` is set, got ${options.apiHost} and ${options.fleetHost}`,
];

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127\.\d+\.\d+\.\d+$/.test(host);
}
