import { afterEach, describe, expect, it } from "vitest";
import { CoxswainError } from "../kernel/errors.ts";
import { target } from "./agent-fixture.ts";
import { lay, readOnly, setUp, stopAll } from "./object-driver-fixture.ts";

afterEach(stopAll);

describe("an agent that no node hears", () => {
  it("leaves its answer beside its pointer, again when something changed, and else every five minutes", async () => {
    const set = await setUp();
    set.state.isNodeThere = false;
    const manifest = lay(set.store, "one", 1);
    await set.host.clock.advance(2_000);
    const { boot } = set.host.core.held();
    const fence = { generation: 1, fleet: 1, host: 1 };
    const answered = { cluster: "c1", host: "h1", boot, fence, manifest, status: 200 };
    expect(set.left()).toMatchObject({
      ...answered,
      serial: 1,
      reply: { host: "h1", boot, fence: "1.1.1", manifest, configs: [{ result: "applied" }] },
    });
    lay(set.store, "two", 2);
    await set.host.clock.advance(10_000);
    expect(set.left()).toMatchObject({ serial: 2, fence: { fleet: 2 } });
    await set.host.clock.advance(280_000);
    expect(set.left()).toMatchObject({ serial: 2 });
    await set.host.clock.advance(20_000);
    expect(set.left()).toMatchObject({ serial: 3 });
  });

  it("says what it refused, and to what it says so", async () => {
    const code = 1;
    const set = await setUp({
      listed: { "app.conf": target({ check: ["check"] }) },
      run: () => ({ kind: "exited", code, output: "" }),
    });
    set.state.isNodeThere = false;
    const manifest = lay(set.store, "bad", 1);
    await set.host.clock.advance(2_000);
    expect(set.left()).toMatchObject({ manifest, reply: { configs: [{ result: "rejected" }] } });
    lay(set.store, "older", 0);
    await set.host.clock.advance(310_000);
    expect(set.left()).toMatchObject({
      fence: { fleet: 0 },
      status: 409,
      reply: { fence: "1.1.1" },
    });
  });

  it("leaves nothing where a node hears it", async () => {
    const set = await setUp();
    lay(set.store, "one", 1);
    await set.host.clock.advance(20 * 60_000);
    expect(set.reports.length).toBeGreaterThan(2);
    expect(set.left()).toBeUndefined();
  });

  it("says once that it can only read, and goes on reading", async () => {
    const set = await setUp({}, undefined, readOnly);
    set.state.isNodeThere = false;
    lay(set.store, "one", 1);
    await set.host.clock.advance(60_000);
    lay(set.store, "two", 2);
    await set.host.clock.advance(10_000);
    expect(set.held()).toBe("two");
    expect(set.log).toEqual(["the place can only be read"]);
  });

  it("without the right to write tries every five minutes, says so once, and succeeds when it may", async () => {
    const set = await setUp();
    set.state.isNodeThere = false;
    let tries = 0;
    let isDenied = true;
    set.store.before = (call) => {
      if (call !== "put") return;
      tries++;
      if (isDenied) throw new CoxswainError("OBJECTS_DENIED", "no rights");
    };
    lay(set.store, "one", 1);
    await set.host.clock.advance(14 * 60_000);
    expect(tries).toBe(3);
    expect(set.log).toEqual(["no rights"]);
    isDenied = false;
    await set.host.clock.advance(5 * 60_000);
    expect(set.left()).toMatchObject({ status: 200 });
  });
});
