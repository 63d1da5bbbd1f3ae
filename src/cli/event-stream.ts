/**
 * Server-sent events: bytes to events.
 *
 * Chunks end anywhere, also inside a character or between CR and LF; an event is complete at its
 * blank line. Comments (keep-alives) and fields that are not used are skipped.
 * Source: WHATWG HTML, 9.2.6 (interpreting an event stream).
 */
import { StringDecoder } from "node:string_decoder";

export interface StreamEvent {
  readonly type: string;
  readonly data: string;
}

/** One event may not be longer than this many characters; a longer one is not an event of ours. */
const eventCharsMax = 1024 * 1024;

/** Reads one stream: `push` returns the events that `chunk` completed. */
export class EventStreamReader {
  readonly #decoder = new StringDecoder("utf8");
  #rest = "";
  #type = "";
  #data: string[] = [];

  push(chunk: Uint8Array): StreamEvent[] {
    const text = this.#rest + this.#decoder.write(chunk);
    // A CR at the end may be the first half of CR LF: it waits for the next chunk.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    this.#rest = lines.pop() ?? "";
    if (this.#rest.length > eventCharsMax) throw new RangeError("event stream line too long");
    return lines.flatMap((line) => this.#take(line));
  }

  #take(line: string): StreamEvent[] {
    if (line === "") return this.#complete();
    const colon = line.indexOf(":");
    const field = colon === -1 ? line : line.slice(0, colon);
    const value = colon === -1 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#type = value;
    if (field === "data") this.#data.push(value);
    return [];
  }

  #complete(): StreamEvent[] {
    const event = { type: this.#type === "" ? "message" : this.#type, data: this.#data.join("\n") };
    const hasData = this.#data.length > 0;
    this.#type = "";
    this.#data = [];
    return hasData ? [event] : [];
  }
}
