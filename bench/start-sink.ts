/** Starts the hosts of a benchmark (sink.ts) in a process of their own. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { FleetQuestion } from "./reverse-fleet.ts";
import type { SinkQuestion } from "./sink-watch.ts";

export interface Sink {
  readonly port: number;
  readonly pid: number;
  /** The answer to a question, as sink-watch.ts gives it. */
  readonly ask: <Answer>(question: SinkQuestion | FleetQuestion) => Promise<Answer>;
  /** Ends the process; so does the end of this one. */
  readonly stop: () => void;
}

export async function startSink(): Promise<Sink> {
  const child = fork(fileURLToPath(new URL("sink.ts", import.meta.url)), { stdio: "inherit" });
  const [message]: unknown[] = await once(child, "message");
  if (typeof message !== "object" || message === null || !("port" in message)) {
    throw new TypeError("the sink did not say its port");
  }
  const asked = new Map<number, (answer: unknown) => void>();
  let nextId = 1;
  child.on("message", (reply: { readonly id: number; readonly answer: unknown }) => {
    asked.get(reply.id)?.(reply.answer);
    asked.delete(reply.id);
  });
  return {
    port: Number(message.port),
    pid: child.pid ?? 0,
    ask: (question) =>
      new Promise((resolve) => {
        const id = nextId++;
        // What the child answers is what its own module says: both are one program.
        asked.set(id, resolve as (answer: unknown) => void);
        child.send({ id, ...question });
      }),
    stop: () => child.disconnect(),
  };
}
