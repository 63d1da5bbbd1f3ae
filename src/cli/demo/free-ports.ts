/**
 * Finds out before anything starts whether the demo's ports are free on 127.0.0.1.
 */
import { once } from "node:events";
import { createServer } from "node:net";
import { CoxswainError } from "../../kernel/errors.ts";
import { basePorts, planDemo, portsOf, type DemoPlan, type DemoSize } from "./demo-plan.ts";

/** The plan at `basePort`, or at the first base port where everything is free. */
export async function planOnFreePorts(
  dir: string,
  basePort: number | undefined,
  size: DemoSize,
): Promise<DemoPlan> {
  const taken: number[] = [];
  for (const candidate of basePort === undefined ? basePorts : [basePort]) {
    const plan = planDemo(dir, candidate, size);
    const takenPort = await firstTakenPort(portsOf(plan));
    if (takenPort === undefined) return plan;
    taken.push(takenPort);
  }
  const ports = taken.join(", ");
  throw new CoxswainError(
    "OPTION_INVALID",
    basePort === undefined
      ? `Expected one of the base ports ${basePorts.join(", ")} to be free, but ${ports} are taken: name another with --port`
      : `Expected the ports from --port ${basePort} on to be free, but ${ports} is taken: name another, or none to let the demo choose`,
    { details: { taken } },
  );
}

async function firstTakenPort(ports: readonly number[]): Promise<number | undefined> {
  for (const port of ports) {
    if (!(await isFree(port))) return port;
  }
  return undefined;
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host: "127.0.0.1", exclusive: true });
    await once(server, "listening");
    return true;
  } catch {
    return false; // Taken, or not permitted: either way the demo cannot have it.
  } finally {
    server.close();
  }
}
