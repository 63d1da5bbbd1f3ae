import * as fc from "fast-check";
import { expect, test } from "vitest";
import type { HostView } from "../api-shapes.ts";
import { cellsOf, renderFrame, type DemoFrame } from "./demo-frame.ts";

function host(id: string): HostView {
  return {
    id,
    address: "http://127.0.0.1:8400",
    modes: ["dial"],
    labels: {},
    partition: 1,
    owner: "node-1",
    sync: "unreachable",
    reachability: "unreachable",
    lastContact: null,
    lastError: { class: "refused", message: "connection refused", at: "2026-11-23T06:00:00Z" },
    nextAttempt: null,
  };
}

function frame(more: Partial<DemoFrame> = {}): DemoFrame {
  const nodes = ["node-1", "node-2", "node-3"].map((slot, index) => ({
    slot,
    pid: index === 1 ? undefined : 1000 + index,
    apiUrl: `http://127.0.0.1:${7400 + 10 * index}`,
  }));
  return {
    elapsedMs: 62_000,
    status: {
      cluster: { id: "demo", partitions: 1024 },
      node: { slot: "node-1" },
      view: {
        generation: 1,
        version: 5,
        members: [
          { slot: "node-1", incarnation: 1, state: "active", url: "", partitions: 512, hosts: 98 },
          { slot: "node-3", incarnation: 1, state: "leaving", url: "", partitions: 0, hosts: 0 },
        ],
      },
      hosts: { total: 200, applied: 175, pending: 5, rejected: 0, unreachable: 20, neverSeen: 0 },
      missing: [],
    },
    nodes,
    release: {
      number: 2,
      digest: `sha256:${"ab".repeat(32)}`,
      rollout: {
        state: "running",
        counts: {
          total: 200,
          applied: 175,
          pending: 5,
          rejected: 0,
          unreachable: 20,
          neverSeen: 0,
        },
      },
    },
    unreachable: Array.from({ length: 10 }, (_, index) => host(`host-${index}`)),
    events: Array.from({ length: 30 }, (_, index) => `06:00:${index}  event ${index}`),
    note: "node-2 got SIGKILL",
    program: "node bin/coxswain.js",
    ...more,
  };
}

test("a frame at 80 x 23 shows nodes, counts, reasons, newest events and keys", () => {
  const lines = renderFrame(frame(), { columns: 80, rows: 23 }, false);
  const text = lines.join("\n");
  expect(lines).toHaveLength(23);
  expect(lines[0]).toContain("view 1.5, 1024 partitions   00:01:02");
  expect(text).toMatch(/node-2 +stopped +no +0 +0 +http:\/\/127\.0\.0\.1:7410/);
  expect(text).toMatch(/node-3 +pid 1002 +leaving/);
  expect(text).toContain("200 hosts: █ 175 in sync  ▒ 5 pending  ░ 20 unreachable");
  expect(text).toContain("release 2 of routes.json (abababababab): on 175 of 200 hosts");
  expect(text).toContain("refused: connection refused");
  expect(text).toContain("event 29");
  expect(text).not.toContain("event 0\n");
  expect(text).toContain("k kill a node");
  expect(text).toContain("kill -9 1002");
});

test("a release that another rollout replaced is not said to be on hosts", () => {
  const { release } = frame();
  const rollout = { state: "superseded", counts: release?.rollout?.counts };
  const replaced = frame({ release: release && { ...release, rollout } });
  const text = renderFrame(replaced, { columns: 80, rows: 30 }, false).join("\n");
  expect(text).toContain("(abababababab): superseded by another rollout");
});

test("no frame is larger than its terminal, and the counts and keys always stay", () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 40, max: 200 }),
      fc.integer({ min: 20, max: 60 }),
      fc.integer({ min: 1, max: 20 }),
      (columns, rows, nodesCount) => {
        const nodes = Array.from({ length: nodesCount }, (_, index) => ({
          slot: `node-${index}`,
          pid: 100_000 + index,
          apiUrl: `http://127.0.0.1:${7400 + 10 * index}`,
        }));
        const lines = renderFrame(frame({ nodes }), { columns, rows }, false);
        expect(lines.length).toBeLessThanOrEqual(rows);
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
        const text = lines.join("\n");
        expect(text).toContain("175 in sync");
        expect(text).toContain("k kill a node");
      },
    ),
  );
});

test("while no node answers the frame says so instead of showing old counts", () => {
  const text = renderFrame(frame({ status: undefined }), { columns: 80, rows: 23 }, false).join(
    "\n",
  );
  expect(text).toContain("no node answers");
  expect(text).not.toContain("in sync");
});

test("colours are used only where the terminal has them", () => {
  const size = { columns: 80, rows: 23 };
  expect(renderFrame(frame(), size, true).join("")).toContain("\u001b[");
  expect(renderFrame(frame(), size, false).join("")).not.toContain("\u001b");
});

test("cells add up to the width and whatever is not zero has one", () => {
  fc.assert(
    fc.property(
      fc.array(fc.nat({ max: 10_000 }), { minLength: 3, maxLength: 3 }),
      fc.integer({ min: 10, max: 200 }),
      (counts, width) => {
        const cells = cellsOf(counts, width);
        const isEmpty = counts.every((count) => count === 0);
        expect(cells.reduce((sum, count) => sum + count, 0)).toBe(isEmpty ? 0 : width);
        for (const [index, count] of counts.entries()) {
          expect((cells[index] ?? 0) > 0).toBe(count > 0);
        }
      },
    ),
  );
});
