/**
 * A load balancer that lies to hosts that want to attach: it upgrades to something else, closes what it
 * has just upgraded, or takes the connection and never answers, in turn. Each lie is a line in a file,
 * so that a scenario knows that it was told.
 */
import { appendFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";

const lies = ["other protocol", "cut", "silence"] as const;
const cutAfterMs = 100;

function upgradeTo(protocol: string): string {
  return `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${protocol}\r\n\r\n`;
}

function tell(lie: (typeof lies)[number], socket: Socket): void {
  if (lie === "silence") return;
  if (lie === "other protocol") {
    socket.write(upgradeTo("websocket"));
    return;
  }
  socket.write(upgradeTo("coxswain-reverse"));
  setTimeout(() => socket.destroy(), cutAfterMs);
}

/** Until the process ends. */
export function startLyingBalancer(host: string, port: number, log: string): void {
  let count = 0;
  const server = createServer((socket) => {
    const lie = lies[count++ % lies.length] ?? "silence";
    socket.on("error", () => {});
    socket.once("data", () => {
      appendFileSync(log, `${lie}\n`);
      tell(lie, socket);
    });
  });
  server.listen(port, host);
}
