/** What a simulated host is asked, read from the bytes of a sync, and which of its configs have commands. */
import { gunzipSync } from "node:zlib";
import type { ExchangeRequest } from "../src/push/transport.ts";
import { guardedConfig } from "./flaws.ts";
import { configPath } from "./watched-disk.ts";

/** One config has commands, so that its apply takes time and may fail; other names have none. */
export const listedTargets = new Map([
  [
    guardedConfig,
    {
      path: configPath(guardedConfig),
      attributes: { mode: 0o644 },
      check: ["check", "{path}"],
      checkTimeoutMs: 10_000,
      reload: ["reload", "{path}"],
      reloadTimeoutMs: 10_000,
    },
  ],
]);

export function manifestIn(body: unknown): string {
  return (body as { manifest: string }).manifest;
}

/** JSON of a sync, however it came. */
export function bodyOf({ body, headers }: Pick<ExchangeRequest, "body" | "headers">): unknown {
  const bytes = body ?? Buffer.alloc(0);
  const isGzip = headers["content-encoding"] === "gzip";
  return JSON.parse((isGzip ? gunzipSync(bytes) : bytes).toString("utf8"));
}
