/**
 * Connections that the agent opened and a node drives: the requests that are about the connection itself
 * (ping, detach), and an end that waits for the sync under way.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import {
  detachPath,
  detachSchema,
  lossSpreadMsOf,
  pingPath,
  type Detach,
} from "../protocol/reverse.ts";

/** `{"withinMs":500,"reason":"drain"}` and room. */
const detachBytesMax = 1_024;

/** What a node says on a connection that the agent opened; called synchronously. */
export interface AdoptedEvents {
  /** Any request has come; `lossSpreadMs` where it says over how long to come again after a loss. */
  onHeard(lossSpreadMs: number | undefined): void;
  /** The agent should attach anew within this time, and then release this connection. */
  onDetach(detach: Detach): void;
}

export interface Adopted {
  /** Closes the connection when the request under way is answered; at once where there is none. */
  release(): void;
}

class Connection implements Adopted {
  readonly events: AdoptedEvents | undefined;
  requestCount = 0;
  isReleased = false;
  readonly #duplex: Duplex;

  constructor(duplex: Duplex, events: AdoptedEvents | undefined) {
    this.#duplex = duplex;
    this.events = events;
  }

  release(): void {
    this.isReleased = true;
    if (this.requestCount === 0) this.#duplex.destroy();
  }

  close(): void {
    this.#duplex.destroy();
  }
}

export class AdoptedConnections {
  readonly #connections = new Map<Duplex, Connection>();

  add(duplex: Duplex, events: AdoptedEvents | undefined): Adopted {
    const connection = new Connection(duplex, events);
    this.#connections.set(duplex, connection);
    duplex.once("close", () => this.#connections.delete(duplex));
    return connection;
  }

  /** Notes the request; true where it was about the connection and has been answered. */
  took(request: IncomingMessage, response: ServerResponse): boolean {
    const connection = this.#connections.get(request.socket);
    if (connection === undefined) return false;
    connection.requestCount++;
    if (connection.isReleased) response.setHeader("connection", "close");
    response.once("close", () => {
      connection.requestCount--;
      if (connection.isReleased) connection.release();
    });
    connection.events?.onHeard(lossSpreadMsOf(request.headers));
    if (request.method !== "POST") return false;
    if (request.url === pingPath) {
      request.resume();
      response.writeHead(204).end();
      return true;
    }
    if (request.url !== detachPath) return false;
    void answerDetach(connection, request, response);
    return true;
  }

  closeAll(): void {
    for (const connection of this.#connections.values()) connection.close();
  }
}

async function answerDetach(
  connection: Connection,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  let text = "";
  try {
    for await (const chunk of request) {
      text += String(chunk);
      if (text.length > detachBytesMax) break;
    }
  } catch {
    // The connection broke: there is nothing left to detach from.
    return;
  }
  const detach = detachSchema.safeParse(parsed(text));
  response.writeHead(detach.success ? 204 : 400).end();
  if (detach.success) connection.events?.onDetach(detach.data);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // The schema refuses it.
    return undefined;
  }
}
