/**
 * Holds connections to as many hosts of a sink and does nothing else, until it is killed: the part of a
 * node's death that hosts notice because connections end, without the rest of it. Arguments: the sink's
 * port and how many. Sends a message when all are open; ends with its parent, too.
 */
import { once } from "node:events";
import { connect } from "node:net";
import { hostAt } from "./push-senders.ts";

const atOnce = 64;

const [port = 0, count = 0] = process.argv.slice(2).map(Number);
for (let start = 0; start < count; start += atOnce) {
  const some = Array.from({ length: Math.min(atOnce, count - start) }, async (_, index) => {
    const { hostname } = new URL(hostAt(start + index, port).address);
    const socket = connect({ host: hostname, port });
    await once(socket, "connect");
    socket.on("error", () => socket.destroy());
  });
  await Promise.all(some);
}
process.send?.("open");
process.once("disconnect", () => process.exit(0));
