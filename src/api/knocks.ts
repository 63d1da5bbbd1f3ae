/** The knock listener as a node's options ask for it, wired to the node. */
import type { Logger } from "../kernel/log.ts";
import type { Metrics } from "../kernel/metrics.ts";
import type { Node } from "../node/node.ts";
import type { NodeOptions } from "../node/options.ts";
import { startKnockListener, type KnockListener } from "./knock-listener.ts";
import { knockDrops } from "./knock-messages.ts";

/** Undefined where no port is named. Throws OPTION_INVALID where it is taken. */
export async function listenForKnocks(
  options: Pick<NodeOptions, "fleetHost" | "knockPort" | "knockVerifies">,
  secret: Uint8Array | undefined,
  ports: { readonly node: Node; readonly log: Logger; readonly metrics: Metrics },
): Promise<KnockListener | undefined> {
  const { fleetHost: host, knockPort: port, knockVerifies: verifiesPerSecond } = options;
  if (port === 0 || secret === undefined) return undefined;
  const { node, log, metrics } = ports;
  return startKnockListener(
    { host, port, secret, verifiesPerSecond },
    {
      onKnocks: (knocks) => node.shapes.knocks.received(knocks),
      onDropped: (counts) => {
        for (const drop of knockDrops) {
          metrics.knocksTotal.labels({ outcome: drop }).inc(counts[drop]);
        }
      },
      onFailed: (message) => log.error({ err: message }, "the knock listener has ended"),
    },
  );
}
