import { describe, expect, test } from "vitest";
import { itemKindOf } from "./item-kind.ts";
import { keys } from "./store.ts";

describe("kinds of items", () => {
  test.each([
    [keys.meta, "meta"],
    [keys.view, "view"],
    [keys.fleet, "fleet"],
    [keys.member("node-1"), "member"],
    [keys.head(7), "head"],
    [keys.host(7, "status#1"), "host"],
    [keys.status(7, 0), "checkpoint"],
    [keys.config("routes.json"), "release"],
    [keys.release("routes.json", "sha256:00"), "release"],
    [keys.content("sha256:00", 0), "release"],
    [keys.rollout("r1"), "rollout"],
    [keys.audit("2026-11", "x"), "audit"],
    [{ pk: "part#7", sk: "host#" }, "host"],
    [{ pk: "member", sk: "" }, "member"],
    [{ pk: "cluster", sk: "later" }, "other"],
    [{ pk: "part#7", sk: "later" }, "other"],
    [{ pk: "later#7", sk: "head" }, "other"],
    [{ pk: "later", sk: "head" }, "other"],
  ])("%o is counted as %s", (key, kind) => {
    expect(itemKindOf(key)).toBe(kind);
  });
});
