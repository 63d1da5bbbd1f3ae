import { expect, test } from "vitest";
import { DemoEvents } from "./demo-events.ts";

const at = "2026-11-23T06:12:31.000Z";
const event = (type: string, fields: object) => ({
  type,
  data: JSON.stringify({ type, at, node: "node-1", ...fields }),
});

test("a view that every node tells of is one line", () => {
  const events = new DemoEvents();
  for (const node of ["node-1", "node-2", "node-3"]) {
    const members = [
      { slot: "node-1", state: "active" },
      { slot: "node-2", state: "leaving" },
    ];
    events.add(event("view.changed", { node, generation: 1, version: 5, members }));
  }
  expect(events.lines()).toEqual(["06:12:31  view 1.5: node-1, node-2 (leaving)"]);
});

test("hosts that go the same way within some seconds share a line", () => {
  const events = new DemoEvents();
  for (const host of ["a", "b", "c", "d"]) {
    events.add(event("host.reachability", { host, from: "ok", to: "suspect", reason: host }));
  }
  events.add(event("host.reachability", { host: "a", from: "suspect", to: "unreachable" }));
  events.add(event("host.reachability", { host: "e", from: "ok", to: "suspect" }));
  const later = { at: "2026-11-23T06:12:36.000Z" };
  events.add(event("host.reachability", { host: "f", from: "ok", to: "suspect", ...later }));
  expect(events.lines()).toEqual([
    "06:12:31  a, b and 3 more: ok -> suspect",
    "06:12:31  a: suspect -> unreachable",
    "06:12:36  f: ok -> suspect",
  ]);
});

test("what a stream repeats after a reconnect is not shown again", () => {
  const events = new DemoEvents();
  const started = event("rollout.started", { id: "r-1", config: "routes.json" });
  events.add(started);
  events.add(event("config.released", { config: "routes.json" }));
  events.add(started);
  expect(events.lines()).toEqual([
    "06:12:31  rollout r-1 of routes.json started",
    "06:12:31  routes.json has a new release",
  ]);
});

test("only the newest lines are kept", () => {
  const events = new DemoEvents();
  for (let number = 0; number < 200; number++) events.add(event("odd", { number }));
  expect(events.lines()).toHaveLength(64);
  expect(events.lines().at(-1)).toContain("number=199");
});
