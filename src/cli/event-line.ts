/**
 * Events as lines: all fields for `events`, sentences for the demo.
 */
import type { StreamEvent } from "./event-stream.ts";
import { printable } from "./format.ts";

/** The fields of an event; what is no JSON object is kept as text. */
export function eventFields({ type, data }: StreamEvent): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    if (typeof value === "object" && value !== null) return { type, ...value };
  } catch {
    // Not JSON: shown as it came.
  }
  return { type, data };
}

/** `06:12:31 host.reachability host=h-1 from=ok to=suspect`. */
export function eventLine(event: StreamEvent): string {
  const { type, at, ...fields } = eventFields(event);
  const pairs = Object.entries(fields).map(
    ([name, value]) => `${name}=${typeof value === "string" ? value : JSON.stringify(value)}`,
  );
  return printable([timeOf(at), String(type), ...pairs].join(" "));
}

/** `06:12:31`, in UTC as the nodes write it. */
export function timeOf(at: unknown): string {
  return typeof at === "string" ? at.slice(11, 19) : "--:--:--";
}
