/** Starts the hosts of a benchmark (sink.ts) in a process of their own. */
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** `stop` ends the process; so does the end of this one. */
export async function startSink(): Promise<{ readonly port: number; readonly stop: () => void }> {
  const child = fork(fileURLToPath(new URL("sink.ts", import.meta.url)), { stdio: "inherit" });
  const [message]: unknown[] = await once(child, "message");
  if (typeof message !== "object" || message === null || !("port" in message)) {
    throw new TypeError("the sink did not say its port");
  }
  return { port: Number(message.port), stop: () => child.disconnect() };
}
