/** Options of the modes in which the host makes the first move: reverse, knock, object, poll. */
import type { OptionTable, Resolved } from "../kernel/options.ts";
import { isObjectsUrl, objectsUrlRule } from "../objects/open-objects.ts";

export const shapeOptions = {
  hostSecretFile: {
    type: "text",
    default: "",
    description:
      "File with the cluster's secret (at least 32 bytes): hosts that call must prove who they are with the key derived from it.",
    reason:
      "Empty believes any caller, which suits a private network only; `coxswain host-key` derives a host's key.",
  },
  attachesPerSecond: {
    type: "integer",
    default: 500,
    min: 1,
    max: 100_000,
    description:
      "Connections of hosts with the mode `reverse` this node takes in a second; more are told when to come again.",
    reason:
      "Two thousand hosts of a dead node are back in seconds on two others, and pushes go on.",
  },
  links: {
    type: "integer",
    default: 10_000,
    min: 1,
    max: 1_000_000,
    description: "Connections of such hosts this node holds; more are refused.",
    reason: "Bounds memory (some 12 KB each) and open files.",
  },
  pingInterval: {
    type: "duration",
    default: "30s",
    min: 100,
    max: 120_000,
    description:
      "Longest silence on such a connection; one that answers nothing for two of them is closed.",
    reason:
      "Below the idle timeout of usual load balancers and NAT (60 s and more); shorter finds dead connections sooner.",
  },
  linkAge: {
    type: "duration",
    default: "1h",
    min: 1_000,
    max: 86_400_000,
    description: "Age, give or take a quarter, at which a host is asked to attach anew.",
    reason: "After a deploy connections lie on few nodes; this spreads them again.",
  },
  pollsPerSecond: {
    type: "integer",
    default: 500,
    min: 1,
    max: 100_000,
    description:
      "Polls of hosts this node lets in a second; more wait, or are told when to come back.",
    reason:
      "A quarter of what one core answers: pushes go on. Hosts are told to poll so seldom that half of it is used.",
  },
  pollMin: {
    type: "duration",
    default: "10s",
    min: 100,
    max: 300_000,
    description:
      "Shortest time between two polls of a host; grows with the number of hosts that poll.",
    reason: "Bounds how late a host that polls sees a change, while the fleet is small.",
  },
  knockPort: {
    type: "integer",
    default: 0,
    min: 0,
    max: 65_535,
    description: "UDP port for knocks of hosts, on `fleetHost`; 0 listens to none. Usual: 7402.",
    reason: "Only hosts with the mode `knock` need it.",
  },
  knockVerifies: {
    type: "integer",
    default: 5_000,
    min: 10,
    max: 1_000_000,
    description:
      "Signatures of knocks checked a second, on a thread of their own; more are dropped.",
    reason: "A tenth of what one core checks: a flood costs this much and no more.",
  },
  objects: {
    type: "text",
    default: "",
    description: `Object store from which hosts with the mode \`object\` take what they should hold: ${objectsUrlRule}. Empty: none.`,
    reason:
      "Only hosts with that mode need one; docs/operations.md lists the rights and what it costs.",
  },
  objectsEndpoint: {
    type: "text",
    default: "",
    description: "URL of a server that speaks S3, for `objects` with `s3://`. Empty: AWS.",
    reason: "The server must honour If-Match and If-None-Match on PutObject.",
  },
  objectsRegion: {
    type: "text",
    default: "",
    description: "AWS region of the bucket. Empty: where the AWS SDK looks.",
    reason: "Credentials come from where the AWS SDK looks, too.",
  },
  objectPoll: {
    type: "duration",
    default: "1m",
    min: 1_000,
    max: 300_000,
    description: "Time between two looks of a host at its pointer in the object store.",
    reason:
      "Bounds how late a host sees a change, and costs one read a host each time; a fleet of over 5,000 reads a second is told to wait longer. A new value goes out with each host's next change.",
  },
} as const satisfies OptionTable;

type ShapeOptions = Resolved<typeof shapeOptions>;

/** Rules that join two of them; a message where one is broken. */
export const shapeOptionRules: readonly ((options: ShapeOptions) => string | undefined)[] = [
  ({ knockPort, hostSecretFile }) =>
    knockPort === 0 || hostSecretFile !== ""
      ? undefined
      : `Expected \`hostSecretFile\` with \`knockPort\`, got only \`knockPort\` (${knockPort})`,
  ({ objects }) =>
    objects === "" || isObjectsUrl(objects)
      ? undefined
      : `Expected \`objects\` to be ${objectsUrlRule}, got ${objects}`,
  ({ objects, objectsEndpoint }) =>
    objectsEndpoint === "" || (URL.canParse(objectsEndpoint) && objects.startsWith("s3:"))
      ? undefined
      : `Expected \`objectsEndpoint\` to be a URL, with an s3:// URL in \`objects\`, got ${objectsEndpoint} with ${objects}`,
];
