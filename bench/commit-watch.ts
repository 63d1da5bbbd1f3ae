/**
 * When new rules were durable: the moment at which the embedded store of this process has answered the write of
 * the `fleet` item. Neither the caller of the API nor a host sees that moment.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { IncomingMessage } from "node:http";
import { keys } from "../src/store/store.ts";
import { wallMs } from "./sink-watch.ts";

const started = "http.server.request.start";
const finished = "http.server.response.finish";
const write = "DynamoDB_20120810.PutItem";
const fleetKey = `"sk":{"S":"${keys.fleet.sk}"}`;

export interface CommitWatch {
  /** Wall time of the first commit since then. Throws where there was none. */
  since(startMs: number): number;
  stop(): void;
}

export function watchCommits(): CommitWatch {
  const bodies = new WeakMap<IncomingMessage, string>();
  const times: number[] = [];
  const onStart = (message: unknown) => {
    const { request } = message as { request: IncomingMessage };
    if (request.headers["x-amz-target"] !== write) return;
    bodies.set(request, "");
    request.on("data", (chunk: Buffer) => {
      bodies.set(request, (bodies.get(request) ?? "") + chunk.toString());
    });
  };
  const onFinish = (message: unknown) => {
    const { request } = message as { request: IncomingMessage };
    if (bodies.get(request)?.includes(fleetKey) === true) times.push(wallMs());
  };
  subscribe(started, onStart);
  subscribe(finished, onFinish);
  return {
    since(startMs) {
      const atMs = times.find((each) => each >= startMs);
      if (atMs === undefined) throw new Error("no commit was seen: is the store in this process?");
      return atMs;
    },
    stop() {
      unsubscribe(started, onStart);
      unsubscribe(finished, onFinish);
    },
  };
}
