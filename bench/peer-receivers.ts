/**
 * The receivers of one peer in a process of their own, as the sink is for Coxswain. Started by
 * peers.ts with `nats|etcd port count`; says `ready`, and for etcd `received` when all have a change.
 */
import { etcdReceiver, natsReceiver } from "./peer-clients.ts";

const [kind, portText, countText] = process.argv.slice(2);
const [port, count] = [Number(portText), Number(countText)];
const connectsAtOnce = 50;
let left = count;

process.once("disconnect", () => process.exit(0));
process.on("message", () => {
  left = count;
});
for (let start = 0; start < count; start += connectsAtOnce) {
  const batch = Math.min(connectsAtOnce, count - start);
  await Promise.all(
    Array.from({ length: batch }, () =>
      kind === "nats" ? natsReceiver(port, "config") : etcdReceiver(port, received),
    ),
  );
}
process.send?.("ready");

function received(): void {
  left--;
  if (left === 0) process.send?.("received");
}
