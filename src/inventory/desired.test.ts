import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { limits } from "../protocol/limits.ts";
import { compileFleet } from "./desired.ts";
import type { Fleet, Rule } from "./rules.ts";
import { matches, parseSelector } from "./selector.ts";

const digestNo = (number: number) => `sha256:${String(number).padStart(64, "0")}` as const;

function rule(
  config: string,
  digest: number | undefined,
  selector: string,
  revision: number,
): Rule {
  return {
    rollout: `r${revision}`,
    config,
    digest: digest === undefined ? undefined : digestNo(digest),
    selector: parseSelector(selector),
    revision,
  };
}

const fleetOf = (...rules: Rule[]): Fleet => ({ revision: rules.length, rules });
const host = (labels: Record<string, string>, pins: Record<string, string> = {}) => ({
  labels,
  pins,
});

describe("desired state", () => {
  it("is an empty manifest without rules, and the same object for all", () => {
    const desired = compileFleet(fleetOf());
    expect(desired(host({})).configs).toEqual([]);
    expect(desired(host({ a: "b" }))).toBe(desired(host({})));
  });

  it("takes per config the matching rule with the highest revision, in whatever order they come", () => {
    const rules = [rule("c", 2, "a=x", 5), rule("c", 1, "*", 3), rule("c", 3, "a=y", 7)];
    for (const order of [rules, rules.toReversed()]) {
      const desired = compileFleet(fleetOf(...order));
      expect(desired(host({ a: "x" })).configs).toEqual([{ name: "c", digest: digestNo(2) }]);
      expect(desired(host({})).configs).toEqual([{ name: "c", digest: digestNo(1) }]);
    }
  });

  it("breaks ties of revision by the higher rollout id", () => {
    const low = { ...rule("c", 1, "*", 3), rollout: "a" };
    const high = { ...rule("c", 2, "*", 3), rollout: "b" };
    expect(compileFleet(fleetOf(high, low))(host({})).configs[0]?.digest).toBe(digestNo(2));
  });

  it("leaves out a config whose winning rule has no digest", () => {
    const desired = compileFleet(fleetOf(rule("c", 1, "*", 1), rule("c", undefined, "a=x", 2)));
    expect(desired(host({ a: "x" })).configs).toEqual([]);
    expect(desired(host({})).configs).toHaveLength(1);
  });

  it("lets pins win over rules, and over removals", () => {
    const desired = compileFleet(fleetOf(rule("c", 1, "*", 1), rule("d", undefined, "*", 2)));
    const pinned = desired(host({}, { d: digestNo(8), c: digestNo(9) }));
    expect(pinned.configs).toEqual([
      { name: "c", digest: digestNo(9) },
      { name: "d", digest: digestNo(8) },
    ]);
    expect(desired(host({}, { c: digestNo(1) }))).toBe(desired(host({})));
  });

  it("keeps the first configs by name where there are too many, and counts the others", () => {
    const names = Array.from({ length: limits.configsPerHostMax + 2 }, (_, at) => `c${100 + at}`);
    const desired = compileFleet(fleetOf(...names.map((name, at) => rule(name, at, "*", at + 1))));
    const { configs } = desired(host({}));
    expect(configs.map(({ name }) => name)).toEqual(names.slice(0, limits.configsPerHostMax));
    expect(desired.overLimit(host({}))).toBe(2);
    expect(desired.overLimit(host({}, { a: digestNo(1) }))).toBe(3);
    expect(desired(host({}, { a: digestNo(1) })).configs[0]?.name).toBe("a");
  });

  it("counts nothing over the limit where there is room", () => {
    expect(compileFleet(fleetOf(rule("c", 1, "*", 1))).overLimit(host({}))).toBe(0);
  });

  it("shares equal manifests between label sets, pinned hosts and successive fleets", () => {
    const rules = [rule("c", 1, "a in (x,y)", 1), rule("d", 2, "a=z", 2)];
    const first = compileFleet(fleetOf(...rules));
    expect(first(host({ a: "x" }))).toBe(first(host({ a: "y", other: "label" })));
    expect(first(host({}, { d: digestNo(2) }))).toBe(first(host({ a: "z" })));
    const second = compileFleet(fleetOf(...rules, rule("e", 3, "b", 3)), first);
    expect(second(host({ a: "x" }))).toBe(first(host({ a: "x" })));
  });

  it("does not take a missing label for any value", () => {
    const desired = compileFleet(fleetOf(rule("c", 1, "!constructor,a!=b", 1)));
    expect(desired(host({})).configs).toHaveLength(1);
    expect(desired(host({ constructor: "x" })).configs).toHaveLength(0);
  });

  it("is what a naive reading of rules and pins says, for every host and in any order of asking", () => {
    const value = fc.constantFrom("x", "y", "z");
    const label = fc.dictionary(fc.constantFrom("a", "b", "n"), value);
    const selector = fc.constantFrom(
      "*",
      "a=x",
      "a!=y",
      "b in (x,z)",
      "!b",
      "a,b",
      "a notin (x,y)",
    );
    const rules = fc.array(
      fc.tuple(fc.constantFrom("c", "d", "e"), fc.option(fc.nat(4), { nil: undefined }), selector),
      { maxLength: 8 },
    );
    const pins = fc.dictionary(fc.constantFrom("c", "f"), fc.nat(3).map(digestNo), { maxKeys: 2 });
    fc.assert(
      fc.property(rules, fc.array(fc.tuple(label, pins), { maxLength: 8 }), (made, hosts) => {
        const fleet = fleetOf(
          ...made.map(([name, digest, text], at) => rule(name, digest, text, at + 1)),
        );
        const desired = compileFleet(fleet);
        for (const [labels, pinned] of hosts) {
          const expected = new Map<string, string>();
          for (const each of fleet.rules) {
            if (!matches(each.selector, labels)) continue;
            if (each.digest === undefined) expected.delete(each.config);
            else expected.set(each.config, each.digest);
          }
          for (const [name, digest] of Object.entries(pinned)) expected.set(name, digest);
          const got = desired(host(labels, pinned)).configs.map(({ name, digest }) => [
            name,
            digest,
          ]);
          expect(got).toEqual([...expected].toSorted(([left], [right]) => (left < right ? -1 : 1)));
        }
      }),
    );
  });
});
