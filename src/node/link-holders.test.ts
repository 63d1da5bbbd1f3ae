import { beforeEach, expect, it } from "vitest";
import { parseHostId } from "../inventory/host.ts";
import { LinkHolders } from "./link-holders.ts";

const h1 = parseHostId("h1");
let holders: LinkHolders;

beforeEach(() => {
  holders = new LinkHolders();
});

function linked(slot: string, number: number, ageMs: number, atMs: number, ownMs?: number) {
  return holders.linked(h1, slot, { number, ageMs }, atMs, ownMs);
}

it("notices a connection once, and each that follows it at the same holder", () => {
  expect(linked("b", 1, 0, 1_000)).toBe("new");
  expect(linked("b", 1, 60_000, 61_000)).toBe("known");
  expect(linked("b", 2, 0, 62_000)).toBe("new");
  expect(holders.get(h1)).toMatchObject({ slot: "b", number: 2 });
});

it("lets the younger connection count, in whichever order two holders tell of theirs", () => {
  linked("b", 1, 50_000, 100_000);
  expect(linked("c", 7, 1_000, 100_000)).toBe("new");
  expect(linked("b", 2, 20_000, 100_000)).toBe("older");
  expect(holders.get(h1)?.slot).toBe("c");
});

it("prefers a connection of its own that is younger", () => {
  expect(linked("b", 1, 5_000, 100_000, 99_000)).toBe("older");
  expect(linked("b", 1, 500, 100_000, 99_000)).toBe("new");
});

it("takes the end of one connection for that of no other", () => {
  linked("b", 2, 0, 0);
  holders.unlinked(h1, "b", 1);
  holders.unlinked(h1, "c", 2);
  expect(holders.size).toBe(1);
  holders.unlinked(h1, "b", 2);
  expect(holders.size).toBe(0);
});

it("forgets what it is told to keep no longer", () => {
  linked("b", 1, 0, 0);
  holders.linked(parseHostId("h2"), "c", { number: 1, ageMs: 0 }, 0, undefined);
  holders.prune((_, { slot }) => slot === "c");
  expect(holders.get(h1)).toBeUndefined();
  expect(holders.size).toBe(1);
});
