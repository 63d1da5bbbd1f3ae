/**
 * Fuzz of the agent over real sockets: arbitrary requests, and valid syncs to which something happened.
 *
 * Whatever comes, the agent answers with a documented status or closes within a bound, never fails
 * unexpectedly, keeps fence and files unless it said 200 to something that does not go back, and takes a
 * valid sync afterwards. `FUZZ_RUNS` and `FUZZ_SEED` (kernel/hostile-json.ts) ask for more.
 */
import { connect } from "node:net";
import { gzipSync } from "node:zlib";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { systemClock } from "../kernel/clock.ts";
import { isCoxswainError } from "../kernel/errors.ts";
import { fuzzRuns, mutatedJson, textOf } from "../kernel/hostile-json.ts";
import type { Logger } from "../kernel/log.ts";
import { silentLogger } from "../kernel/log.ts";
import { digestOf } from "../protocol/digest.ts";
import { formatFence, goesBack } from "../protocol/fence.ts";
import { syncPath, syncReplySchema } from "../protocol/sync.ts";
import { createHost } from "./agent-fixture.ts";
import { startAgentServer } from "./agent-server.ts";
import { decodeState, encodeState, freshState, type DurableState } from "./durable-state.ts";
import { fullSync, headersOf, shortSync } from "./sync-builder.ts";

/** docs/protocol.md, and what Node's parser answers by itself (400, 408, 417, 431). */
const documented = new Set([200, 400, 403, 404, 405, 408, 409, 413, 415, 417, 421, 422, 431, 503]);
/** A bomb takes a while on a machine that has other things to do. */
const answerMsMax = 10_000;

interface Request {
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** What `content-length` says beyond the truth. */
  readonly lengthLie: number;
}

/** Printable and not: what no HTTP client would write. */
const headerText = fc.oneof(
  fc.string({ unit: "binary-ascii", maxLength: 30 }),
  fc.constantFrom("", "h1", "c1", "1.1.1", "é", "\0", "a\r\nb: c", "x".repeat(9_000), "gzip, br"),
  fc.constantFrom("2.9007199254740991.1", "1.9007199254740992.1", "-1.0.0", "1.1", "1e3.1.1"),
  fc.constantFrom("9".repeat(400), "0", "01", "+1", "0x11", "17 ", "NaN"),
);
const fence = fc
  .tuple(fc.integer({ min: 1, max: 2 }), fc.nat(4), fc.nat(4))
  .map((parts) => parts.join("."));

const right = fullSync("1.2.2", { "a.conf": "one", "b/c.json": "{}" });

const bodies: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 5, arbitrary: mutatedJson(right.body).map((text) => Buffer.from(text)) },
  {
    weight: 8,
    arbitrary: fc.constantFrom(
      ...["one", "two"].map((content) =>
        Buffer.from(JSON.stringify(fullSync("", { "a.conf": content }).body)),
      ),
      Buffer.from(JSON.stringify(shortSync("", {}).body)),
    ),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      Buffer.from(textOf("§deepList")),
      Buffer.from('{"manifest":"\xff\xfe"}', "latin1"),
      Buffer.alloc(0),
      Buffer.from("null"),
    ),
  },
);

/** How a body travels, as told and in truth. */
const coded = fc
  .tuple(
    bodies,
    fc.constantFrom("none", "none", "none", "gzip", "damaged", "said", "unsaid", "bomb"),
  )
  .map(([body, coding]): { body: Buffer; encoding?: string } => {
    const zipped = gzipSync(body);
    if (coding === "gzip") return { body: zipped, encoding: "gzip" };
    if (coding === "damaged") {
      return { body: zipped.subarray(0, Math.floor(zipped.length / 2)), encoding: "gzip" };
    }
    if (coding === "said") return { body, encoding: "gzip" };
    if (coding === "unsaid") return { body: zipped };
    if (coding === "bomb") return { body: bomb, encoding: "gzip" };
    return { body };
  });
const bomb = gzipSync(Buffer.alloc(20 * 1024 * 1024));

const request: fc.Arbitrary<Request> = fc
  .record({
    method: fc.oneof(
      { weight: 12, arbitrary: fc.constant("POST") },
      { weight: 1, arbitrary: fc.constantFrom("GET", "PUT", "HEAD", "CONNECT", "post", "", "P\0") },
    ),
    path: fc.oneof(
      { weight: 12, arbitrary: fc.constant(syncPath) },
      { weight: 1, arbitrary: fc.webPath() },
      { weight: 1, arbitrary: fc.constantFrom("/healthz", "*", "//", "/%zz", "", "http://[", "?") },
    ),
    fence,
    odd: fc.dictionary(
      fc.constantFrom(
        ...Object.keys(headersOf()),
        "content-encoding",
        "expect",
        "upgrade",
        "transfer-encoding",
        "x",
      ),
      headerText,
      { maxKeys: 1 },
    ),
    hasOdd: fc.constantFrom(true, false, false, false),
    coded,
    lengthLie: fc.constantFrom(0, 0, 0, 0, 0, 0, 0, 1, -1, 1_000, 2 ** 40),
  })
  .map(({ odd, hasOdd, coded: { body, encoding }, fence: fenceText, ...rest }) => ({
    ...rest,
    body,
    headers: {
      ...headersOf({ fence: fenceText }),
      ...(encoding === undefined ? {} : { "content-encoding": encoding }),
      ...(hasOdd ? odd : {}),
    },
  }));

function bytesOf({ method, path, headers, body, lengthLie }: Request, connection: string): Buffer {
  const lines = Object.entries({ host: "x", connection, ...headers }).map((pair) =>
    pair.join(": "),
  );
  const length = `content-length: ${Math.max(0, body.length + lengthLie)}`;
  const head = [`${method} ${path} HTTP/1.1`, ...lines, length, "", ""].join("\r\n");
  return Buffer.concat([Buffer.from(head, "latin1"), body]);
}

interface Message {
  readonly bytes: Buffer;
  /** More is expected by the receiver: the sender ends instead. */
  readonly isCut: boolean;
}

const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes));
const message: fc.Arbitrary<Message> = fc.oneof(
  {
    weight: 12,
    arbitrary: request.map((one) => ({ bytes: bytesOf(one, "close"), isCut: one.lengthLie > 0 })),
  },
  { weight: 1, arbitrary: noise.map((bytes) => ({ bytes, isCut: true })) },
);

/**
 * Several on one connection. Node answers none of them where one is no HTTP, while those before it are
 * still carried out: nothing can be said of the host at that moment but that it goes on.
 */
const pipeline = fc
  .array(
    fc.oneof({ weight: 4, arbitrary: request.map((one) => bytesOf(one, "keep-alive")) }, noise),
    {
      maxLength: 3,
    },
  )
  .map((parts): Message => ({ bytes: Buffer.concat(parts), isCut: true }));

/** Sends the bytes and nothing more; statuses and text of what came back until the end. */
function exchange(
  url: string,
  { bytes, isCut }: Message,
): Promise<{ statuses: number[]; text: string }> {
  return new Promise((resolve, reject) => {
    let text = "";
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => {
      // A sender that ends has gone away, for Node: it gets no answer that is not there yet.
      if (isCut) socket.end(bytes);
      else socket.write(bytes);
    });
    const cancel = systemClock.after(answerMsMax, () => {
      reject(new Error(`neither answered nor closed: ${bytes.toString("latin1").slice(0, 400)}`));
      socket.destroy();
    });
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      text += chunk;
    });
    // A refusal may reach a sender that still writes as a reset.
    socket.on("error", () => {});
    socket.once("close", () => {
      cancel();
      const statuses = [...text.matchAll(/^HTTP\/1\.1 (\d{3}) /gm)].map((match) =>
        Number(match[1]),
      );
      resolve({ statuses, text });
    });
  });
}

async function serve() {
  const unexpected: unknown[] = [];
  const log: Logger = { ...silentLogger, error: (fields) => unexpected.push(fields) };
  const host = await createHost();
  const server = await startAgentServer(
    { core: host.core, log },
    { listen: { host: "127.0.0.1", port: 0 }, keepAliveMs: 1_000 },
  );
  const files = async () => {
    const names = host.disk.paths().filter((path) => path.includes("/configs/"));
    const contents = names.map(async (path) => [
      path,
      String(await host.disk.read(path, 1_000_000)),
    ]);
    return JSON.stringify(await Promise.all(contents));
  };
  return { host, server, unexpected, files };
}

describe("the sync endpoint", () => {
  test("answers anything with a documented status or closes, and changes only for what does not go back", async () => {
    const seen = new Set<number>();
    await fc.assert(
      fc.asyncProperty(fc.array(message, { maxLength: 6 }), pipeline, async (messages, several) => {
        const { host, server, unexpected, files } = await serve();
        const send = async (each: Message) => {
          const { statuses, text } = await exchange(server.url, each);
          for (const status of statuses) seen.add(status);
          expect(statuses.filter((status) => !documented.has(status))).toEqual([]);
          return { isAccepted: statuses.includes(200) && text.includes('"manifest"'), text };
        };
        try {
          for (const each of messages) {
            const before = { ...host.core.held(), files: await files() };
            const { isAccepted, text } = await send(each);
            const after = { ...host.core.held(), files: await files() };
            const floor = before.fence ?? { generation: 0, fleet: 0, host: 0 };
            expect(goesBack(floor, after.fence ?? floor)).toBe(false);
            const isSame = before.files === after.files && before.manifest === after.manifest;
            expect([isSame || isAccepted, text]).toEqual([true, text]);
          }
          await send(several);
          const { fence: held } = host.core.held();
          const generation = Math.max(9, held?.generation ?? 0) + 1;
          const next = formatFence({ generation, fleet: 1, host: 1 });
          const sync = fullSync(next, { "a.conf": "after all" });
          const body = Buffer.from(JSON.stringify(sync.body));
          const valid = {
            method: "POST",
            path: syncPath,
            headers: sync.headers,
            body,
            lengthLie: 0,
          };
          const { statuses, text } = await exchange(server.url, {
            bytes: bytesOf(valid, "close"),
            isCut: false,
          });
          expect(statuses).toEqual([200]);
          const reply = syncReplySchema.parse(JSON.parse(text.slice(text.indexOf("\r\n\r\n") + 4)));
          expect([reply.fence, reply.manifest]).toEqual([next, sync.body.manifest]);
          expect(unexpected).toEqual([]);
        } finally {
          await server.stop();
        }
      }),
      fuzzRuns(60),
    );
    // The runs are about something only if most kinds of answers came.
    expect([...seen]).toEqual(expect.arrayContaining([200, 400, 409, 413, 422]));
  }, 1_800_000);
});

const sealed = (text: string) =>
  Buffer.from(`coxswain-agent-state 1 ${digestOf(Buffer.from(text))}\n${text}`);

describe("the state file", () => {
  const digest = digestOf(Buffer.from("one"));
  const state: DurableState = {
    ...freshState("c1", "h1"),
    fence: { generation: 1, fleet: 2, host: 3 },
    offered: digest,
    configs: [{ name: "a.conf", digest }],
    outcomes: [{ name: "b.conf", result: "rejected", message: "no" }],
    intent: [{ name: "a.conf", before: undefined, after: digest }],
  };
  const bytes = encodeState(state);

  test("reads back as written, and damaged in any way is AGENT_STATE_CORRUPT", () => {
    expect(decodeState(bytes, "state")).toEqual(state);
    const body = Buffer.from(bytes).toString().split("\n")[1] ?? "";
    const damaged = fc.oneof(
      fc.nat(bytes.length - 1).map((end) => bytes.slice(0, end)),
      fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, by]) => {
        const copy = bytes.slice();
        copy[at] = (copy[at] ?? 0) ^ by;
        return copy;
      }),
      fc.uint8Array({ maxLength: 100 }),
      mutatedJson(JSON.parse(body) as object).map(sealed),
      fc.string().map(sealed),
    );
    for (const odd of [`["${digest}"]`, "[".repeat(9_000) + "]".repeat(9_000)]) {
      const text = body.replace(`"offered":"${digest}"`, `"offered":${odd}`);
      expect(text).not.toBe(body);
      expect(() => decodeState(sealed(text), "state")).toThrow(
        expect.objectContaining({ code: "AGENT_STATE_CORRUPT" }),
      );
    }
    let refused = 0;
    fc.assert(
      fc.property(damaged, (each) => {
        try {
          const read = decodeState(each, "state");
          // Only a right digest over all fields is read, and what is read can be written.
          expect(decodeState(encodeState(read), "state")).toEqual(read);
        } catch (error) {
          if (!isCoxswainError(error, "AGENT_STATE_CORRUPT")) throw error;
          refused++;
        }
      }),
      fuzzRuns(500),
    );
    expect(refused).toBeGreaterThan(250);
  });
});
