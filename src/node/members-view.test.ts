import { expect, test } from "vitest";
import { place } from "../ring/placement.ts";
import { membersOfView } from "./members-view.ts";
import { partitionsCount, snapshotOf } from "./node-fixture.ts";

test("the view's number and its members are of one view, while the node still takes it up", () => {
  const before = snapshotOf(2, ["a", "b"]);
  const snapshot = snapshotOf(3, ["a", "b", "c"], { a: 2, b: 3 });
  const { view, members } = membersOfView(snapshot, place(before.view, partitionsCount));
  expect(view).toEqual({ generation: 1, version: 3 });
  expect(members.map(({ slot, partitions }) => [slot, partitions > 0])).toEqual([
    ["a", true],
    ["b", true],
    ["c", false],
  ]);
});
