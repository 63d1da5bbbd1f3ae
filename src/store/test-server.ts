/**
 * Servers on 127.0.0.1 that stand in for DynamoDB at its worst, and stores that talk to them.
 *
 * What a test starts goes on its `undo` list, newest last; `undoAll` ends it.
 */
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo, Server, Socket } from "node:net";
import { createRandom } from "../kernel/random.ts";
import type { DynamodbOptions } from "./dynamodb-client.ts";
import { DynamodbStore } from "./dynamodb-store.ts";

export const undo: (() => Promise<void>)[] = [];

export async function undoAll(): Promise<void> {
  for (const step of undo.splice(0).toReversed()) await step();
}

export async function listen(server: Server): Promise<string> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  undo.push(async () => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, "close");
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export function open(endpoint: string, options: Partial<DynamodbOptions> = {}): DynamodbStore {
  const store = new DynamodbStore({
    table: "coxswain",
    endpoint,
    region: "us-east-1",
    credentials: { accessKeyId: "local", secretAccessKey: "local" },
    requestTimeoutMs: 5_000,
    random: createRandom("dynamodb-store"),
    ...options,
  });
  undo.push(() => store.close());
  return store;
}

export type Handler = (request: IncomingMessage, response: ServerResponse, body: string) => void;

export async function serve(handler: Handler): Promise<string> {
  const server = createServer((request, response) => {
    let body = "";
    request.on("error", () => {});
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => handler(request, response, body));
  });
  return listen(server);
}

export const answer =
  (status: number, body: unknown): Handler =>
  (_, response) => {
    response.writeHead(status, { "content-type": "application/x-amz-json-1.0" });
    response.end(typeof body === "string" ? body : JSON.stringify(body));
  };

export const failure = (status: number, name: string, message = "told by the server") =>
  answer(status, { __type: `com.amazonaws.dynamodb.v20120810#${name}`, message });
