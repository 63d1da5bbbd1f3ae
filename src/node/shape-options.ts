/** Options of the modes in which the host makes the first move: reverse, knock, object, poll. */
import type { OptionTable, Resolved } from "../kernel/options.ts";

export const shapeOptions = {
  hostSecretFile: {
    type: "text",
    default: "",
    description:
      "File with the cluster's secret (at least 32 bytes): hosts that call must prove who they are with the key derived from it.",
    reason:
      "Empty believes any caller, which suits a private network only; `coxswain host-key` derives a host's key.",
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
} as const satisfies OptionTable;

type ShapeOptions = Resolved<typeof shapeOptions>;

/** Rules that join two of them; a message where one is broken. */
export const shapeOptionRules: readonly ((options: ShapeOptions) => string | undefined)[] = [
  ({ knockPort, hostSecretFile }) =>
    knockPort === 0 || hostSecretFile !== ""
      ? undefined
      : `Expected \`hostSecretFile\` with \`knockPort\`, got only \`knockPort\` (${knockPort})`,
];
