import * as fc from "fast-check";
import { expect, test } from "vitest";
import { EventStreamReader, type StreamEvent } from "./event-stream.ts";

const stream =
  ': recent events\r\n\r\nevent: view.changed\ndata: {"at":"täglich"}\n\nid: 7\rdata:one\rdata: two\r\rdata\n\nevent: lost\n\n: bye\n\n';
const expected: StreamEvent[] = [
  { type: "view.changed", data: '{"at":"täglich"}' },
  { type: "message", data: "one\ntwo" },
  { type: "message", data: "" },
];

test("events are the same however the bytes are cut", () => {
  const bytes = Buffer.from(stream);
  fc.assert(
    fc.property(fc.array(fc.nat({ max: bytes.length })), (cuts) => {
      const edges = [0, ...cuts.toSorted((left, right) => left - right), bytes.length];
      const reader = new EventStreamReader();
      const events = edges
        .slice(1)
        .flatMap((end, index) => reader.push(bytes.subarray(edges[index], end)));
      expect(events).toEqual(expected);
    }),
  );
});

test("a line without an end is given up, not collected for ever", () => {
  const reader = new EventStreamReader();
  const chunk = Buffer.alloc(600_000, "x");
  expect(reader.push(chunk)).toEqual([]);
  expect(() => reader.push(chunk)).toThrow(RangeError);
});
