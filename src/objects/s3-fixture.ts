/**
 * A server that speaks S3, for tests: fauxqs from npm, with a proxy before it that enforces the
 * conditions of PutObject, which no S3 server on npm honours. The proxy takes one write at a time,
 * asks the server for the object's etag and answers 412 itself; everything else passes unchanged.
 */
import { createServer, request, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { startFauxqs } from "fauxqs";

export const bucket = "coxswain-test";
export const credentials = { accessKeyId: "test", secretAccessKey: "test" };

export interface S3Fixture {
  /** Of the proxy. */
  readonly endpoint: string;
  /** Method and path of every request, oldest first. */
  readonly requests: string[];
  /** `down` answers 503 to everything; `forgetful` lets writes pass whatever their condition. */
  mood: "well" | "down" | "forgetful";
  stop(): Promise<void>;
}

export async function startS3(): Promise<S3Fixture> {
  const server = await startFauxqs({ port: 0, host: "127.0.0.1", logger: false });
  server.createBucket(bucket);
  let writes: Promise<unknown> = Promise.resolve();
  const proxy = createServer((incoming, outgoing) => {
    fixture.requests.push(`${incoming.method} ${incoming.url}`);
    if (fixture.mood === "down") {
      refuse(incoming, outgoing, 503, "SlowDown");
      return;
    }
    const turn = () => pass(incoming, outgoing, server.port, fixture.mood === "well");
    if (incoming.method === "PUT") writes = writes.then(turn);
    else void turn();
  });
  await new Promise<void>((resolve) => {
    proxy.listen(0, "127.0.0.1", resolve);
  });
  const { port } = proxy.address() as AddressInfo;
  const fixture: S3Fixture = {
    endpoint: `http://127.0.0.1:${port}`,
    requests: [],
    mood: "well",
    async stop() {
      proxy.closeAllConnections();
      await new Promise((resolve) => {
        proxy.close(resolve);
      });
      await server.stop();
    },
  };
  return fixture;
}

async function pass(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  port: number,
  isChecked: boolean,
): Promise<void> {
  const ifMatch = incoming.headers["if-match"];
  const ifNoneMatch = incoming.headers["if-none-match"];
  if (isChecked && incoming.method === "PUT" && (ifMatch ?? ifNoneMatch) !== undefined) {
    const etag = await etagOf(incoming.url ?? "", port);
    const isMet = ifMatch === undefined ? etag === undefined : etag === ifMatch;
    if (!isMet) {
      refuse(incoming, outgoing, 412, "PreconditionFailed");
      return;
    }
  }
  await new Promise<void>((resolve) => {
    const { method, url, headers } = incoming;
    const onward = request({ port, host: "127.0.0.1", method, path: url, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 500, answer.headers);
      answer.pipe(outgoing);
      answer.once("close", resolve);
    });
    onward.once("error", () => {
      outgoing.destroy();
      resolve();
    });
    incoming.pipe(onward);
  });
}

function etagOf(path: string, port: number): Promise<string | undefined> {
  const at = path.replace(/\?.*$/, "");
  return new Promise((resolve, reject) => {
    const asking = request({ port, host: "127.0.0.1", method: "HEAD", path: at }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200 ? answer.headers.etag : undefined);
    });
    asking.once("error", reject);
    asking.end();
  });
}

function refuse(
  incoming: IncomingMessage,
  outgoing: ServerResponse,
  status: number,
  code: string,
): void {
  incoming.resume();
  outgoing.writeHead(status, { "content-type": "application/xml" });
  outgoing.end(`<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`);
}
