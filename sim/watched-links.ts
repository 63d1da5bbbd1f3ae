/**
 * The exchanges of a node over connections that hosts opened, seen by the checks as pushes: they obey the
 * same pace, and there is one at a time for each host, whichever node holds the connection.
 */
import type { Recorder } from "./observations.ts";
import type { NodeProcess } from "./sim-node.ts";
import { observePush } from "./sim-transport.ts";

export function watchLinks({ name, clock, node }: NodeProcess, recorder: Recorder): void {
  const { reverse } = node.shapes;
  const exchange = reverse.exchange.bind(reverse);
  reverse.exchange = (request, route) => {
    const started = exchange(request, route);
    if (started === undefined) return undefined;
    const ended = observePush(recorder, name, clock.monotonicMs(), request);
    return started.then((result) => {
      ended(result);
      return result;
    });
  };
}
