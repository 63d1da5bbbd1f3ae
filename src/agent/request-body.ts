/**
 * Reading one request body of bounded size, plain or gzip.
 *
 * Bytes over the limit are counted and dropped for a while, so that an honest sender still gets to
 * read the refusal; then the connection is closed. Decompression stops at its own bound, so that a
 * small body cannot become a large one.
 */
import { isUtf8 } from "node:buffer";
import type { IncomingMessage } from "node:http";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { limits } from "../protocol/limits.ts";
import { refusal, type Answer } from "./sync-request.ts";

export type RequestBody =
  | { readonly kind: "read"; readonly json: unknown }
  | { readonly kind: "refused"; readonly answer: Answer };

const gunzipBounded = promisify(gunzip);

export async function readJsonBody(request: IncomingMessage): Promise<RequestBody> {
  const encoding = request.headers["content-encoding"] ?? "identity";
  if (encoding !== "gzip" && encoding !== "identity") {
    await drain(request);
    return refused(415, "UNSUPPORTED_ENCODING", "Expected `content-encoding` to be gzip or none");
  }
  const isGzip = encoding === "gzip";
  const bytesMax = isGzip ? limits.syncCompressedBytesMax : limits.syncRequestBytesMax;
  const raw = await readBytes(request, bytesMax);
  if (raw === undefined) {
    return refused(413, "TOO_LARGE", `Expected a body of at most ${bytesMax} bytes`);
  }
  let bytes = raw;
  if (isGzip) {
    try {
      bytes = await gunzipBounded(raw, { maxOutputLength: limits.syncRequestBytesMax });
    } catch (error) {
      const isBomb =
        error instanceof Error && "code" in error && error.code === "ERR_BUFFER_TOO_LARGE";
      return isBomb
        ? refused(
            413,
            "TOO_LARGE",
            `Expected at most ${limits.syncRequestBytesMax} bytes after decompression`,
          )
        : refused(400, "BAD_REQUEST", "Expected a whole gzip body");
    }
  }
  // Read leniently, two bodies could become one text.
  if (!isUtf8(bytes)) return refused(400, "BAD_REQUEST", "Expected the body to be UTF-8");
  try {
    return { kind: "read", json: JSON.parse(bytes.toString("utf8")) };
  } catch {
    // The parser's own message quotes the body, which may hold secrets.
    return refused(400, "BAD_REQUEST", "Expected the body to be JSON");
  }
}

/** Reads and drops a body that is not wanted, as far as an honest sender would send one. */
export async function drain(request: IncomingMessage): Promise<void> {
  await readBytes(request, 0);
}

/** Undefined above `bytesMax`. */
async function readBytes(request: IncomingMessage, bytesMax: number): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length <= bytesMax) chunks.push(chunk);
    else chunks.length = 0;
    if (length > bytesMax + limits.syncRequestBytesMax) break;
  }
  return length <= bytesMax ? Buffer.concat(chunks) : undefined;
}

function refused(...parts: Parameters<typeof refusal>): RequestBody {
  return { kind: "refused", answer: refusal(...parts) };
}
