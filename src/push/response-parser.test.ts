import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { connect, type AddressInfo } from "node:net";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  headBytesMax,
  headerCountMax,
  ResponseParser,
  type ParseVerdict,
} from "./response-parser.ts";

const bodyBytesMax = 1_000;
const lines = (...parts: string[]) => parts.join("\r\n");
const ok = (...parts: string[]) => lines("HTTP/1.1 200 OK", ...parts);

/** The verdict on bytes that come in pieces of these sizes, over and over, in memory that is used anew. */
function parse(bytes: Buffer, sizes: readonly number[] = [bytes.length], isEnded = true) {
  const parser = new ResponseParser(bodyBytesMax);
  let verdict: ParseVerdict = { kind: "more" };
  let restBytes = 0;
  for (let start = 0, turn = 0; start < bytes.length; turn++) {
    const end = Math.min(bytes.length, start + Math.max(1, sizes[turn % sizes.length] ?? 1));
    const wasEnded = verdict.kind === "response";
    const piece = Buffer.from(bytes.subarray(start, end));
    verdict = parser.feed(piece);
    piece.fill("?");
    if (wasEnded) restBytes += end - start;
    else if (verdict.kind === "response") restBytes += verdict.restBytes;
    start = end;
  }
  if (isEnded) verdict = parser.end();
  return verdict.kind === "response" ? { ...verdict, restBytes } : verdict;
}

const parseText = (text: string) => parse(Buffer.from(text, "latin1"));

/** What a table of tests is about: body and what the head says. */
function summary(text: string): string {
  const verdict = parseText(text);
  if (verdict.kind !== "response") return verdict.kind;
  const { status, body, isKeepAlive } = verdict.response;
  return `${status} "${body.toString("latin1")}" ${isKeepAlive ? "keep" : "close"}`;
}

describe("the response parser takes", () => {
  it.each([
    ["a length", ok("Content-Length: 3", "", "abc"), '200 "abc" keep'],
    ["no body", ok("content-length: 0", "", ""), '200 "" keep'],
    ["no reason phrase", lines("HTTP/1.1 204", "", ""), '204 "" keep'],
    ["an empty reason phrase", lines("HTTP/1.1 304 ", "content-length: 9", "", ""), '304 "" keep'],
    [
      "chunks",
      ok("transfer-encoding: chunked", "", "3", "abc", "A;x=1", "0123456789", "0", "", ""),
      '200 "abc0123456789" keep',
    ],
    [
      "trailers",
      ok("transfer-encoding: Chunked", "", "1", "a", "0", "x: y", "", ""),
      '200 "a" keep',
    ],
    [
      "interim responses",
      lines("HTTP/1.1 100 Continue", "a: b", "", ok("content-length: 0", "", "")),
      '200 "" keep',
    ],
    ["the end of the connection as the end", ok("", "abc"), '200 "abc" close'],
    ["a wish to close", ok("Connection: foo , Close", "content-length: 0", "", ""), '200 "" close'],
    [
      "1.0 as a wish to close",
      lines("HTTP/1.0 200 OK", "content-length: 0", "", ""),
      '200 "" close',
    ],
    ["tabs and Latin-1 in values", ok("a:\tü\t", "content-length:1", "", "x"), '200 "x" keep'],
  ])("%s", (_what, text, expected) => {
    expect(summary(text)).toBe(expected);
  });

  it("the headers that matter, in any case", () => {
    const text = ok(
      "KEEP-ALIVE: max=5, timeout=30",
      "Retry-After: 7",
      "Content-Encoding: gzip",
      "content-length: 0",
      "",
      "",
    );
    expect(parseText(text)).toMatchObject({
      response: { keepAliveMs: 30_000, retryAfter: "7", contentEncoding: "gzip" },
    });
  });

  it("no header of an interim response for one of the response", () => {
    const early = lines("HTTP/1.1 103 Early Hints", "connection: close", "retry-after: 1", "", "");
    expect(parseText(early + ok("content-length: 0", "", ""))).toMatchObject({
      response: { isKeepAlive: true, retryAfter: undefined },
    });
  });
});

describe("the response parser refuses", () => {
  const chunked = (...parts: string[]) => ok("transfer-encoding: chunked", "", ...parts);

  it.each([
    ["what is no HTTP", "SSH-2.0-OpenSSH", "not HTTP/1"],
    ["HTTP/2", "HTTP/2 200 OK\r\n\r\n", "not HTTP/1"],
    ["a status of two digits", lines("HTTP/1.1 20 OK", "", ""), "status line"],
    ["a status of 600", lines("HTTP/1.1 600 OK", "", ""), "status line"],
    ["another protocol", lines("HTTP/1.1 101 Switching", "", ""), "changes the protocol"],
    ["a bare line feed", "HTTP/1.1 200 OK\ncontent-length: 0\n\n", "CR LF"],
    ["a bare carriage return", ok("a: b\rc: d", "", ""), "value"],
    ["a folded line", ok("a: b", " c: d", "content-length: 0", "", ""), "name"],
    ["a space before the colon", ok("content-length : 0", "", ""), "name"],
    ["a line without a colon", ok("content-length", "", ""), "name"],
    ["a header without a name", ok(": 0", "", ""), "name"],
    ["a control character", ok("a: b\x00", "", ""), "value"],
    ["two lengths", ok("content-length: 3", "content-length: 3", "", "abc"), "two lengths"],
    ["a list of lengths", ok("content-length: 3, 3", "", "abc"), "length is malformed"],
    ["a signed length", ok("content-length: +3", "", "abc"), "length is malformed"],
    ["a length in hex", ok("content-length: 0x3", "", "abc"), "length is malformed"],
    ["an empty length", ok("content-length:", "", "abc"), "length is malformed"],
    [
      "a length and chunks",
      ok("content-length: 3", "transfer-encoding: chunked", "", "0", "", ""),
      "length and chunks",
    ],
    [
      "another transfer encoding",
      ok("transfer-encoding: gzip, chunked", "", ""),
      "transfer encoding",
    ],
    [
      "chunks twice",
      ok("transfer-encoding: chunked", "transfer-encoding: chunked", "", ""),
      "transfer encoding",
    ],
    [
      "chunks of 1.0",
      lines("HTTP/1.0 200 OK", "transfer-encoding: chunked", "", ""),
      "transfer encoding",
    ],
    ["chunks of a 204", lines("HTTP/1.1 204 No", "transfer-encoding: chunked", "", ""), "no body"],
    ["a chunk without a size", chunked("", ""), "size is malformed"],
    ["a chunk of a negative size", chunked("-1", ""), "size is malformed"],
    ["a chunk of a huge size", chunked("FFFFFFFFF", ""), "size is malformed"],
    ["a chunk of a size in another notation", chunked("0x1", "a"), "size is malformed"],
    ["an endless chunk size", chunked(`1;${"x".repeat(300)}`, "a"), "size is too long"],
    ["a chunk longer than it says", chunked("1", "ab", "0", "", ""), "longer than it says"],
    ["too large a length", ok("content-length: 1001", "", ""), "larger than 1000"],
    ["too large a chunk", chunked("3e9", ""), "larger than 1000"],
    ["too large chunks", chunked("3e8", "x".repeat(1_000), "1", "x"), "larger than 1000"],
    ["too large a body without a length", ok("", "x".repeat(1_001)), "larger than 1000"],
    ["too long a head", ok(`a: ${"x".repeat(headBytesMax)}`, "", ""), "too long"],
    ["an endless line", ok(`a: ${"x".repeat(headBytesMax)}`), "too long"],
    ["endless interim responses", lines("HTTP/1.1 100 Continue", "", "").repeat(1_000), "too long"],
    ["too many headers", ok(...Array<string>(headerCountMax + 1).fill("a: b"), "", ""), "too many"],
    [
      "endless trailers",
      chunked("0", ...Array<string>(headerCountMax).fill("a: b"), ""),
      "too many",
    ],
  ])("%s", (_what, text, reason) => {
    const verdict = parseText(text);
    expect(verdict).toMatchObject({ kind: "invalid" });
    expect(verdict.kind === "invalid" && verdict.reason).toContain(reason);
  });

  it.each([
    ["inside the status line", "HTTP/1.1 2"],
    ["inside the head", ok("content-length: 3")],
    ["inside the body", ok("content-length: 3", "", "ab")],
    ["inside a chunk", chunked("3", "ab")],
    ["before the last chunk", chunked("1", "a", "")],
    ["before the trailers' end", chunked("0", "")],
  ])("nothing yet where the connection ends %s", (_what, text) => {
    expect(parseText(text)).toEqual({ kind: "more" });
  });
});

/** Responses, right and wrong ones, and noise. */
const fragments = [
  "HTTP/1.1 200 OK\r\n",
  "HTTP/1.0 503 Busy\r\n",
  "HTTP/1.1 100 Continue\r\n\r\n",
  "content-length: 5\r\n",
  "transfer-encoding: chunked\r\n",
  "connection: close\r\n",
  "keep-alive: timeout=5\r\n",
  "\r\n",
  "\n",
  "\r",
  "5\r\nhello\r\n",
  "hello",
  "0\r\n",
  "1;x\r\na\r\n",
  " folded\r\n",
  "x: y\r\n",
];
const bytesOf = fc.oneof(
  {
    weight: 4,
    arbitrary: fc
      .array(fc.constantFrom(...fragments), { maxLength: 12 })
      .map((parts) => Buffer.from(`HTTP/1.1 200 OK\r\n${parts.join("")}`)),
  },
  { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(...fragments), fc.uint8Array({ maxLength: 60 }))
      .map(([start, bytes]) => Buffer.concat([Buffer.from(start), Buffer.from(bytes)])),
  },
);
const sizesOf = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 });

describe("the response parser", () => {
  it("gives the same verdict however the bytes are cut", () => {
    const kinds = new Set<string>();
    fc.assert(
      fc.property(bytesOf, sizesOf, fc.boolean(), (bytes, sizes, isEnded) => {
        const whole = parse(bytes, [bytes.length], isEnded);
        kinds.add(whole.kind);
        expect(parse(bytes, sizes, isEnded)).toEqual(whole);
        expect(parse(bytes, [1], isEnded)).toEqual(whole);
      }),
      { numRuns: 1_000 },
    );
    expect([...kinds].toSorted()).toEqual(["invalid", "more", "response"]);
  });

  it("gives the same verdict wherever the first bytes that it decodes at once end", () => {
    for (let padding = 380; padding < 520; padding++) {
      const pad = `x-pad: ${"x".repeat(padding)}`;
      const bytes = Buffer.from(ok(pad, "retry-after: 7", "content-length: 2", "", "ok+"));
      const whole = parse(bytes);
      const response = { status: 200, retryAfter: "7", body: Buffer.from("ok") };
      expect(whole).toMatchObject({ kind: "response", restBytes: 1, response });
      expect(parse(bytes, [1])).toEqual(whole);
    }
  });

  it("gives the same body for any cut of any chunks", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ minLength: 1, maxLength: 60 }), { maxLength: 12 }),
        sizesOf,
        (chunks, sizes) => {
          const body = Buffer.concat(chunks);
          const coded = chunks.flatMap((chunk) => [
            Buffer.from(`${chunk.length.toString(16)}\r\n`),
            chunk,
            Buffer.from("\r\n"),
          ]);
          const head = Buffer.from(ok("transfer-encoding: chunked", "", ""));
          const bytes = Buffer.concat([head, ...coded, Buffer.from("0\r\n\r\n")]);
          expect(parse(bytes, sizes, false)).toMatchObject({ response: { body } });
        },
      ),
    );
  });

  it("joins a body of many pieces", () => {
    const body = "x".repeat(bodyBytesMax);
    const bytes = Buffer.from(ok(`content-length: ${body.length}`, "", body));
    expect(parse(bytes, [1])).toMatchObject({ response: { body: Buffer.from(body) } });
  });

  it("says how much follows the response", () => {
    expect(parseText(ok("content-length: 1", "", "abcd"))).toMatchObject({ restBytes: 3 });
  });

  it("keeps to its first verdict", () => {
    const parser = new ResponseParser(bodyBytesMax);
    const first = parser.feed(Buffer.from("nonsense"));
    expect(first.kind).toBe("invalid");
    expect(parser.feed(Buffer.from(ok("content-length: 0", "", "")))).toEqual(first);
    expect(parser.end()).toEqual(first);
  });
});

/** The bytes with which a server of node:http answers one request. */
async function bytesFrom(handler: RequestListener, requestLines: readonly string[]) {
  const server = createServer({ keepAliveTimeout: 10, keepAliveTimeoutBuffer: 0 }, handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const socket = connect((server.address() as AddressInfo).port, "127.0.0.1");
  const pieces: Buffer[] = [];
  socket.on("data", (piece: Buffer) => pieces.push(piece));
  socket.write(lines("POST / HTTP/1.1", "host: x", ...requestLines));
  await once(socket, "close");
  server.close();
  return Buffer.concat(pieces);
}

describe("what node:http servers write", () => {
  const text = "é".repeat(200);
  const post = ["content-length: 2", "", "{}"];

  it.each<[string, RequestListener, readonly string[], number]>([
    ["a length", (_request, response) => response.end(text), post, 200],
    [
      "chunks",
      (_request, response) => {
        for (const letter of text.match(/.{1,20}/gu) ?? []) response.write(letter);
        response.end();
      },
      post,
      200,
    ],
    [
      "chunks with trailers",
      (_request, response) => {
        response.writeHead(200, { trailer: "x-sum" });
        response.write(text);
        response.addTrailers({ "x-sum": "1" });
        response.end();
      },
      post,
      200,
    ],
    [
      "a close",
      (_request, response) => {
        response.shouldKeepAlive = false;
        response.end(text);
      },
      post,
      200,
    ],
    [
      "100-continue",
      (request, response) => request.resume().on("end", () => response.end(text)),
      ["expect: 100-continue", ...post],
      200,
    ],
    [
      "hints before the response",
      (_request, response) => {
        response.writeEarlyHints({ link: "</a>; rel=preload" });
        response.end(text);
      },
      post,
      200,
    ],
    [
      "an early refusal",
      (_request, response) => {
        response.writeHead(413, { connection: "close" });
        response.end(text);
      },
      ["content-length: 1000000", "", "{"],
      413,
    ],
    ["a refusal of its own parser", () => {}, ["content-length: x", "", ""], 400],
  ])("is read: %s", async (what, handler, requestLines, status) => {
    const bytes = await bytesFrom(handler, requestLines);
    const whole = parse(bytes);
    const isKeepAlive = what !== "a close" && status === 200;
    const body = Buffer.from(status === 400 ? "" : text);
    const response = { status, isKeepAlive, body };
    expect(whole).toMatchObject({ kind: "response", restBytes: 0, response });
    expect(parse(bytes, [1])).toEqual(whole);
    expect(parse(bytes, [7, 3, 60])).toEqual(whole);
  });
});
