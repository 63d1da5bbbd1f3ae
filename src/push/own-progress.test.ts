import { afterEach, describe, expect, it } from "vitest";
import type { HostId } from "../inventory/host.ts";
import { manyHosts, setUp, stopAll } from "./fake-fleet.ts";
import { OwnProgress } from "./own-progress.ts";

afterEach(stopAll);

const id = (index: number) => `h${index}` as HostId;

describe("a node's own progress", () => {
  it("is every push that ends, as long as some host answers", () => {
    const progress = new OwnProgress();
    for (let index = 0; index < 9; index++) expect(progress.ended(id(index), "timeout")).toBe(true);
    expect(progress.ended(id(9), "synced")).toBe(true);
    expect(progress.ended(id(10), "refused")).toBe(true);
    expect(progress.isStuck).toBe(false);
  });

  it("ends when ten different hosts in a row did not answer, and starts with any answer", () => {
    const progress = new OwnProgress();
    for (let round = 0; round < 50; round++) progress.ended(id(round % 9), "timeout");
    expect(progress.isStuck).toBe(false);
    expect(progress.ended(id(9), "ambiguous")).toBe(false);
    expect(progress.isStuck).toBe(true);
    expect(progress.ended(id(3), "busy")).toBe(true);
    expect(progress.isStuck).toBe(false);
  });

  it("is not what this machine could not send, nor hindered by what lies ready for hosts that fetch", () => {
    const progress = new OwnProgress();
    expect(progress.ended(id(0), "local")).toBe(false);
    for (let index = 0; index < 50; index++)
      expect(progress.ended(id(index), "offered")).toBe(true);
    expect(progress.isStuck).toBe(false);
  });
});

describe("a pusher that reaches nobody", () => {
  it("goes on having hosts queued and finishes nothing, until one answers", async () => {
    const set = setUp();
    const hosts = manyHosts(set, 12);
    for (const host of hosts) host.fault = "timeout";
    const release = set.release("one");
    for (const host of hosts) set.push(host, release);
    await set.clock.advance(30_000);
    const { finished } = set.pusher.counts();
    for (let second = 0; second < 60; second++) {
      await set.clock.advance(1_000);
      expect(set.pusher.counts()).toMatchObject({ finished });
      expect(set.pusher.counts().queued).toBeGreaterThan(0);
    }
    const [first] = hosts;
    if (first === undefined) throw new Error("Expected a host");
    first.fault = undefined;
    set.pusher.wake(first.id);
    await set.clock.advance(100);
    expect(set.pusher.counts().finished).toBeGreaterThan(finished);
  });

  it("has nothing to wait for once its hosts are served elsewhere", async () => {
    const set = setUp();
    const hosts = manyHosts(set, 12);
    for (const host of hosts) host.fault = "timeout";
    for (const host of hosts) set.push(host, set.release("one"));
    await set.clock.advance(30_000);
    for (const host of hosts) set.pusher.remove(host.id);
    await set.clock.advance(20_000);
    expect(set.pusher.counts()).toMatchObject({ total: 0, queued: 0 });
  });
});
