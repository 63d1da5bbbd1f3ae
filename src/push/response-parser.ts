/**
 * An incremental parser for one HTTP/1.x response: bytes in, a verdict out, no IO.
 *
 * Strict where leniency has led to responses being split differently by two readers: lines end with CR
 * LF, a folded line, a space before a colon, two lengths, or a length beside chunks are errors. What
 * a host controls is bounded: head bytes, header count, body bytes, the length of a chunk's line. The
 * verdict is the same however the bytes are cut into pieces, and the first one is final.
 * Source: RFC 9112.
 */

export interface HttpResponse {
  readonly status: number;
  readonly body: Buffer;
  /** The connection may carry another exchange, as far as the response says. */
  readonly isKeepAlive: boolean;
  /** How long the server keeps an idle connection, where it says so. */
  readonly keepAliveMs: number | undefined;
  /** Values of these headers; several of a name are joined with a comma. */
  readonly retryAfter: string | undefined;
  readonly contentEncoding: string | undefined;
}

export type ParseVerdict =
  | { readonly kind: "more" }
  /** `restBytes`: what follows the response in the piece that completed it. */
  | { readonly kind: "response"; readonly response: HttpResponse; readonly restBytes: number }
  | { readonly kind: "invalid"; readonly reason: string };

/** Of a response with all its interim responses and trailers. */
export const headBytesMax = 16 * 1024;
export const headerCountMax = 100;
const chunkLineBytesMax = 256;
/** Small pieces are joined now and then, so that one-byte chunks do not cost an object each. */
const piecesMax = 256;

type State = "status" | "header" | "body" | "chunkSize" | "chunkEnd" | "trailer" | "ended";
type Framing = "length" | "chunked" | "untilClose";

const statusPattern = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/;
const statusStart = "HTTP/1.";
const namePattern = /^[\w!#$%&'*+.^`|~-]+$/;
const valuePattern = /^[\t\x20-\x7e\x80-\xff]*$/;
const lengthPattern = /^\d{1,15}$/;
const chunkSizePattern = /^([\da-f]{1,8})[\t ]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/i;
const closePattern = /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i;
const keepAlivePattern = /(?:^|[,;])[\t ]*timeout[\t ]*=[\t ]*(\d{1,6})[\t ]*(?:[,;]|$)/i;

/** Of a piece that begins a response, as much as most heads have. */
const headTextBytes = 512;
const usualStatusLine = "HTTP/1.1 200 OK";

const lineFeed = 0x0a;
const more: ParseVerdict = { kind: "more" };
const noBytes = Buffer.alloc(0);

export class ResponseParser {
  readonly #bodyBytesMax: number;
  #state: State = "status";
  #framing: Framing = "length";
  #verdict: ParseVerdict = more;
  /** The line so far, where a piece ended inside it. */
  #line = "";
  #headBytes = 0;
  #headerCount = 0;
  #status = 0;
  #isOldVersion = false;
  #contentLength: string | undefined = undefined;
  #transferEncoding: string | undefined = undefined;
  #connection: string | undefined = undefined;
  #keepAlive: string | undefined = undefined;
  #retryAfter: string | undefined = undefined;
  #contentEncoding: string | undefined = undefined;
  /** Body bytes still to come, of all or of this chunk. */
  #expectedBytes = Infinity;
  #bodyBytes = 0;
  #pieces: Buffer[] = [];

  constructor(bodyBytesMax: number) {
    this.#bodyBytesMax = bodyBytesMax;
  }

  /** Takes the next bytes, whose memory may be used anew afterwards. */
  feed(bytes: Buffer): ParseVerdict {
    let offset = this.#state === "status" && this.#line === "" ? this.#takeHead(bytes) : 0;
    while (offset < bytes.length && this.#state !== "ended") {
      offset =
        this.#state === "body" ? this.#takeBody(bytes, offset) : this.#takeLine(bytes, offset);
    }
    const verdict = this.#verdict;
    if (verdict.kind !== "response" || offset === bytes.length) return verdict;
    return { ...verdict, restBytes: verdict.restBytes + bytes.length - offset };
  }

  /** The connection ended; completes a response that has no other end. */
  end(): ParseVerdict {
    if (this.#state === "body" && this.#framing === "untilClose") this.#finish();
    return this.#verdict;
  }

  /** As many whole lines of the head as lie in one small piece, which is decoded once and not a line at a time. */
  #takeHead(bytes: Buffer): number {
    const text = bytes.toString("latin1", 0, headTextBytes);
    let offset = 0;
    while (this.#state === "status" || this.#state === "header") {
      const end = text.indexOf("\n", offset) + 1;
      if (end === 0) break;
      this.#takeWholeLine(text.slice(offset, end), end - offset);
      offset = end;
    }
    return offset;
  }

  #takeLine(bytes: Buffer, offset: number): number {
    const feedAt = bytes.indexOf(lineFeed, offset);
    const end = feedAt === -1 ? bytes.length : feedAt + 1;
    const line = this.#line + bytes.toString("latin1", offset, end);
    if (feedAt !== -1) this.#takeWholeLine(line, end - offset);
    else if (!this.#isLineRefused(line, end - offset)) this.#line = line;
    return end;
  }

  #takeWholeLine(line: string, newBytes: number): void {
    if (this.#isLineRefused(line, newBytes)) return;
    this.#line = "";
    if (line.endsWith("\r\n")) this.#onLine(line.slice(0, -2));
    else this.#refuse("a line does not end with CR LF");
  }

  /** Refuses early what no further bytes can mend; `line` may be incomplete. */
  #isLineRefused(line: string, newBytes: number): boolean {
    const state = this.#state;
    if (state === "chunkSize") {
      return line.length > chunkLineBytesMax && this.#refuse("a chunk's size is too long");
    }
    if (state === "chunkEnd") {
      return !"\r\n".startsWith(line) && this.#refuse("a chunk is longer than it says");
    }
    if (state === "status" && !startsAlike(line, statusStart)) {
      return this.#refuse("the reply is not HTTP/1");
    }
    this.#headBytes += newBytes;
    return this.#headBytes > headBytesMax && this.#refuse("the head is too long");
  }

  #onLine(line: string): void {
    const state = this.#state;
    if (state === "status") this.#onStatus(line);
    else if (state === "chunkSize") this.#onChunkSize(line);
    else if (state === "chunkEnd") this.#state = "chunkSize";
    else if (line !== "") this.#onHeader(line);
    else if (state === "header") this.#onHeadEnd();
    else this.#finish();
  }

  #onStatus(line: string): void {
    if (line === usualStatusLine) {
      this.#isOldVersion = false;
      this.#status = 200;
      this.#state = "header";
      return;
    }
    const match = statusPattern.exec(line);
    if (match === null) {
      this.#refuse("the status line is malformed");
      return;
    }
    this.#isOldVersion = match[1] === "0";
    this.#status = Number(match[2]);
    this.#state = "header";
  }

  #onHeader(line: string): void {
    const colon = line.indexOf(":");
    const name = line.slice(0, Math.max(0, colon));
    const value = line.slice(colon + 1);
    if (++this.#headerCount > headerCountMax) this.#refuse("there are too many headers");
    else if (!namePattern.test(name)) this.#refuse("a header's name is malformed");
    else if (!valuePattern.test(value)) this.#refuse("a header's value is malformed");
    else if (this.#state === "header") this.#keepHeader(name.toLowerCase(), trimBlanks(value));
  }

  #keepHeader(name: string, value: string): void {
    switch (name) {
      case "content-length":
        if (this.#contentLength !== undefined) this.#refuse("there are two lengths");
        this.#contentLength = value;
        break;
      case "transfer-encoding":
        this.#transferEncoding = joined(this.#transferEncoding, value);
        break;
      case "connection":
        this.#connection = joined(this.#connection, value);
        break;
      case "keep-alive":
        this.#keepAlive = joined(this.#keepAlive, value);
        break;
      case "retry-after":
        this.#retryAfter = joined(this.#retryAfter, value);
        break;
      case "content-encoding":
        this.#contentEncoding = joined(this.#contentEncoding, value);
        break;
      default:
    }
  }

  #onHeadEnd(): void {
    const status = this.#status;
    if (status === 101) this.#refuse("the host changes the protocol");
    else if (status < 200) this.#onInterim();
    else if (this.#transferEncoding !== undefined) this.#onTransferEncoding(this.#transferEncoding);
    else if (this.#contentLength !== undefined) this.#onContentLength(this.#contentLength);
    else if (isBodiless(status)) this.#finish();
    else {
      this.#state = "body";
      this.#framing = "untilClose";
    }
  }

  #onInterim(): void {
    this.#state = "status";
    this.#contentLength = undefined;
    this.#transferEncoding = undefined;
    this.#connection = undefined;
    this.#keepAlive = undefined;
    this.#retryAfter = undefined;
    this.#contentEncoding = undefined;
  }

  #onTransferEncoding(encoding: string): void {
    if (this.#contentLength !== undefined) this.#refuse("there are a length and chunks");
    else if (this.#isOldVersion || encoding.toLowerCase() !== "chunked") {
      this.#refuse(`transfer encoding ${encoding}`);
    } else if (isBodiless(this.#status)) this.#refuse("there are chunks where there is no body");
    else {
      this.#state = "chunkSize";
      this.#framing = "chunked";
    }
  }

  #onContentLength(length: string): void {
    if (!lengthPattern.test(length)) {
      this.#refuse("the length is malformed");
      return;
    }
    const bytes = Number(length);
    if (isBodiless(this.#status) || bytes === 0) this.#finish();
    else if (bytes > this.#bodyBytesMax) this.#refuseSize();
    else {
      this.#state = "body";
      this.#framing = "length";
      this.#expectedBytes = bytes;
    }
  }

  #onChunkSize(line: string): void {
    const match = chunkSizePattern.exec(line);
    const bytes = Number.parseInt(match?.[1] ?? "", 16);
    if (Number.isNaN(bytes)) this.#refuse("a chunk's size is malformed");
    else if (bytes === 0) this.#state = "trailer";
    else if (bytes > this.#bodyBytesMax - this.#bodyBytes) this.#refuseSize();
    else {
      this.#state = "body";
      this.#expectedBytes = bytes;
    }
  }

  #takeBody(bytes: Buffer, offset: number): number {
    const end = Math.min(bytes.length, offset + this.#expectedBytes);
    this.#bodyBytes += end - offset;
    this.#expectedBytes -= end - offset;
    if (this.#bodyBytes > this.#bodyBytesMax) {
      this.#refuseSize();
      return end;
    }
    const piece = Buffer.allocUnsafe(end - offset);
    bytes.copy(piece, 0, offset, end);
    this.#pieces.push(piece);
    if (this.#pieces.length > piecesMax) this.#pieces = [Buffer.concat(this.#pieces)];
    if (this.#expectedBytes > 0) return end;
    if (this.#framing === "chunked") this.#state = "chunkEnd";
    else this.#finish();
    return end;
  }

  #finish(): void {
    const [first = noBytes] = this.#pieces;
    const hint = keepAlivePattern.exec(this.#keepAlive ?? "");
    const isClosing = this.#connection !== undefined && closePattern.test(this.#connection);
    this.#state = "ended";
    this.#verdict = {
      kind: "response",
      response: {
        status: this.#status,
        body: this.#pieces.length > 1 ? Buffer.concat(this.#pieces) : first,
        isKeepAlive: !this.#isOldVersion && !isClosing && this.#framing !== "untilClose",
        keepAliveMs: hint === null ? undefined : Number(hint[1]) * 1_000,
        retryAfter: this.#retryAfter,
        contentEncoding: this.#contentEncoding,
      },
      restBytes: 0,
    };
    this.#pieces = [];
  }

  #refuseSize(): void {
    this.#refuse(`the body is larger than ${this.#bodyBytesMax} bytes`);
  }

  #refuse(reason: string): true {
    if (this.#state !== "ended") this.#verdict = { kind: "invalid", reason };
    this.#state = "ended";
    this.#line = "";
    this.#pieces = [];
    return true;
  }
}

function isBodiless(status: number): boolean {
  return status === 204 || status === 304;
}

function startsAlike(line: string, start: string): boolean {
  return line.length < start.length ? start.startsWith(line) : line.startsWith(start);
}

function joined(before: string | undefined, value: string): string {
  return before === undefined ? value : `${before}, ${value}`;
}

/** Without spaces and tabs at the ends; `trim` would take more. */
function trimBlanks(value: string): string {
  let start = 0;
  let end = value.length;
  while (start < end && isBlank(value.charCodeAt(start))) start++;
  while (end > start && isBlank(value.charCodeAt(end - 1))) end--;
  return value.slice(start, end);
}

function isBlank(code: number): boolean {
  return code === 0x20 || code === 0x09;
}
