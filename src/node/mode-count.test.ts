import { expect, it } from "vitest";
import { parseHostInput } from "../inventory/host.ts";
import { ModeCount } from "./mode-count.ts";
import { SliceFixture } from "./node-fixture.ts";

it("counts the hosts that have the mode, alone or beside others, again after ten seconds", async () => {
  const fixture = new SliceFixture();
  const put = (id: string, mode: string[]) =>
    fixture.hosts.put(parseHostInput({ id, address: "http://h:1", mode }));
  await put("h1", ["reverse"]);
  await put("h2", ["dial", "reverse"]);
  await put("h3", ["poll"]);
  await fixture.slice.refreshFleet();
  await fixture.adopt(1, "a");
  const count = new ModeCount({ clock: fixture.clock, slice: () => fixture.slice }, "reverse");
  expect(count.get()).toBe(2);
  await put("h4", ["reverse"]);
  await fixture.slice.refreshPartition(fixture.partitionOf("h4"));
  await fixture.clock.advance(9_999);
  expect(count.get()).toBe(2);
  await fixture.clock.advance(1);
  expect(count.get()).toBe(3);
});
