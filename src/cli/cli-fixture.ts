/**
 * For tests of commands: a context whose outputs are kept, and an API that answers as told.
 *
 * Both are the real thing where it counts: the program parses arguments as in a shell, and requests
 * cross a socket on 127.0.0.1 to a server that remembers them.
 */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { PassThrough, Readable } from "node:stream";
import { systemClock } from "../kernel/clock.ts";
import type { CliContext, TextOutput } from "./cli-context.ts";
import { runCli } from "./program.ts";

export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliSettings {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  /** Answers every question with this; without it nobody can be asked. */
  readonly confirms?: boolean;
  readonly signal?: AbortSignal;
}

/** Runs one command in this process, without a terminal. */
export async function runCommand(
  args: readonly string[],
  settings: CliSettings = {},
): Promise<CliRun> {
  const stdout = new PassThrough();
  const stderr = new PassThrough();
  const { confirms } = settings;
  const context: CliContext = {
    stdout: outputOf(stdout),
    stderr: outputOf(stderr),
    stdin: Readable.from([Buffer.from(settings.stdin ?? "")]),
    env: settings.env ?? {},
    userName: "tester",
    clock: systemClock,
    signal: settings.signal ?? new AbortController().signal,
    confirm: confirms === undefined ? undefined : async () => confirms,
    readKeys: undefined,
  };
  const code = await runCli(args, context);
  return { code, stdout: textOf(stdout), stderr: textOf(stderr) };
}

const fixedSize = () => ({ columns: 100, rows: 30 });

function outputOf(stream: PassThrough): TextOutput {
  return { stream, isTerminal: false, hasColours: false, size: fixedSize };
}

function textOf(stream: PassThrough): string {
  const bytes = stream.read() as Buffer | null;
  return bytes === null ? "" : bytes.toString("utf8");
}

export interface SeenRequest {
  readonly method: string;
  /** Path and query. */
  readonly url: string;
  readonly actor: string | undefined;
  readonly body: string;
}

/** Status and JSON body (or bytes); `cut` closes the connection without an answer. */
export type Reply =
  | { readonly status?: number; readonly body?: unknown }
  | { readonly bytes: Uint8Array }
  | { readonly cut: true };

/** What an API answers; keys are `METHOD /path` without the query. */
export type Replies = Readonly<Record<string, Reply | ((request: SeenRequest) => Reply)>>;

export interface ScriptedApi extends AsyncDisposable {
  readonly url: string;
  readonly requests: readonly SeenRequest[];
}

/** A server on a free port of 127.0.0.1; unknown paths get the API's own 404. */
export async function startScriptedApi(replies: Replies): Promise<ScriptedApi> {
  const requests: SeenRequest[] = [];
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const { method = "", url = "" } = request;
      const header = request.headers["coxswain-actor"];
      const actor = typeof header === "string" ? header : undefined;
      const seen = { method, url, actor, body: Buffer.concat(chunks).toString("utf8") };
      requests.push(seen);
      const found = replies[`${method} ${url.split("?")[0]}`] ?? unknownPath;
      const reply = typeof found === "function" ? found(seen) : found;
      if ("cut" in reply) request.socket.destroy();
      else if ("bytes" in reply) response.end(reply.bytes);
      else response.writeHead(reply.status ?? 200).end(JSON.stringify(reply.body ?? {}));
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

const unknownPath: Reply = {
  status: 404,
  body: { error: { code: "NOT_FOUND", message: "No such path", details: {} } },
};
