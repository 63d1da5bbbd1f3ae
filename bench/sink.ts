/**
 * The hosts of the push benchmark: one process that answers every sync at once with a correct small
 * reply, on every address of 127.0.0.0/8, so that each address is an origin of its own.
 *
 * It is a bare TCP server: the less the hosts cost, the more of the machine the sender has. It
 * applies nothing; `manifest` in the reply is the one of the request. Run with an IPC channel: it
 * sends `{port}` when it listens, answers questions (sink-watch.ts) and ends when the channel closes.
 */
import { createServer, type Socket } from "node:net";
import { gunzipSync } from "node:zlib";
import { ReverseFleet, type FleetQuestion } from "./reverse-fleet.ts";
import { SinkWatch, type SinkQuestion } from "./sink-watch.ts";

const headEnd = Buffer.from("\r\n\r\n");
const manifestLength = "sha256:".length + 64;

/** The last compressed body and its manifest: all hosts of a round get the same bytes. */
let lastPacked = Buffer.alloc(0);
let lastManifest = "";

const watch = new SinkWatch();
const fleet = new ReverseFleet(answer);
type Question = (SinkQuestion | FleetQuestion) & { readonly id: number };
process.on("message", ({ id, ...question }: Question) => {
  const answered =
    question.ask === "attach" || question.ask === "links"
      ? fleet.take(question)
      : watch.answer(question, () => fleet.takeLost());
  void answered.then((said) => process.send?.({ id, answer: said }));
});

const server = createServer({ noDelay: true }, (socket) => {
  let pending: Buffer | undefined;
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk: Buffer) => {
    pending = answer(socket, pending === undefined ? chunk : Buffer.concat([pending, chunk]));
  });
});

server.listen({ host: "0.0.0.0", port: 0, backlog: 4_096 }, () => {
  const address = server.address();
  if (typeof address === "object" && address !== null) process.send?.({ port: address.port });
});
process.once("disconnect", () => process.exit(0));

/** Answers the request in `bytes` where it is complete; what remains to be read otherwise. */
function answer(socket: Socket, bytes: Buffer): Buffer | undefined {
  const bodyStart = bytes.indexOf(headEnd) + headEnd.length;
  if (bodyStart < headEnd.length) return bytes;
  const head = bytes.toString("latin1", 0, bodyStart);
  const bodyBytes = Number(header(head, "content-length: ") ?? 0);
  if (bytes.length < bodyStart + bodyBytes) return bytes;
  if (!head.startsWith("POST /coxswain/v1/sync")) {
    // Pings, and the wish that a host attaches elsewhere.
    socket.write("HTTP/1.1 204 No Content\r\n\r\n");
    return undefined;
  }
  const body = bytes.subarray(bodyStart, bodyStart + bodyBytes);
  const host = header(head, "coxswain-host: ") ?? "";
  const manifest = manifestOf(body, head.includes("content-encoding: gzip"));
  watch.synced(host, header(head, "coxswain-node: ") ?? "", manifest);
  const reply = JSON.stringify({
    host,
    boot: "b1",
    agent: "sink/1",
    fence: header(head, "coxswain-fence: ") ?? "0.0.0",
    view: "1",
    manifest,
    configs: [],
    state: { health: "ok" },
  });
  const text = `HTTP/1.1 200 OK\r\ncontent-length: ${reply.length}\r\n\r\n${reply}`;
  if (watch.delayMs === 0) socket.write(text);
  else setTimeout(() => socket.destroyed || socket.write(text), watch.delayMs);
  return undefined;
}

function header(head: string, name: string): string | undefined {
  const start = head.indexOf(name);
  if (start === -1) return undefined;
  return head.slice(start + name.length, head.indexOf("\r\n", start));
}

function manifestOf(body: Buffer, isGzip: boolean): string {
  if (!isGzip) return readManifest(body);
  if (!body.equals(lastPacked)) {
    lastPacked = Buffer.from(body);
    lastManifest = readManifest(gunzipSync(body));
  }
  return lastManifest;
}

function readManifest(body: Buffer): string {
  const start = body.indexOf("sha256:");
  return body.toString("latin1", start, start + manifestLength);
}
