import { expect, test } from "vitest";
import { createSelfCheck, type SelfCheckPorts } from "./self-check.ts";

const members = ["node-3", "node-1", "node-2"].map((slot) => ({
  slot,
  fleetUrl: `http://${slot}:7401`,
}));

function checkOf(overrides: Partial<SelfCheckPorts> = {}) {
  const probed: string[] = [];
  const run = createSelfCheck({
    clock: { wallMs: () => Date.UTC(2026, 0, 2) },
    peers: {
      probe: async (fleetUrl) => {
        probed.push(fleetUrl);
        return fleetUrl.includes("node-3") ? "refused" : "answered";
      },
    },
    options: { slot: "node-1", sockets: 64, links: 32, apiHost: "127.0.0.1", fleetHost: "0.0.0.0" },
    version: "1.2.3",
    members: () => members,
    openFilesMax: async () => 1024,
    ...overrides,
  });
  return { run, probed };
}

test("a node probes the other members and not itself, and tells its limits and binds", async () => {
  const { run } = checkOf();
  expect(await run()).toEqual({
    slot: "node-1",
    version: "1.2.3",
    at: "2026-01-02T00:00:00.000Z",
    openFilesMax: 1024,
    socketsMax: 64,
    linksMax: 32,
    apiHost: "127.0.0.1",
    fleetHost: "0.0.0.0",
    peers: [
      { slot: "node-2", fleetUrl: "http://node-2:7401", outcome: "answered" },
      { slot: "node-3", fleetUrl: "http://node-3:7401", outcome: "refused" },
    ],
  });
});

test("a system that does not tell its limit is unknown, not unlimited", async () => {
  const { run } = checkOf({ openFilesMax: async () => undefined });
  expect(await run()).toMatchObject({ openFilesMax: null });
});

test("callers at the same time share one round of probes; a later one probes again", async () => {
  const { run, probed } = checkOf();
  await Promise.all([run(), run(), run()]);
  expect(probed).toHaveLength(2);
  await run();
  expect(probed).toHaveLength(4);
});

test("the members of the largest cluster are probed a bounded number at a time", async () => {
  let atOnce = 0;
  let atOnceMost = 0;
  const { run } = checkOf({
    members: () =>
      Array.from({ length: 200 }, (_, n) => ({ slot: `n-${n}`, fleetUrl: "http://x" })),
    peers: {
      probe: async () => {
        atOnceMost = Math.max(atOnceMost, ++atOnce);
        await Promise.resolve();
        atOnce -= 1;
        return "answered";
      },
    },
  });
  expect((await run()).peers).toHaveLength(200);
  expect(atOnceMost).toBe(100);
});
