import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CoxswainError, isCoxswainError } from "../kernel/errors.ts";
import { limits } from "../protocol/limits.ts";
import { formatSelector, matches, parseSelector, type Selector } from "./selector.ts";

const word = fc.stringMatching(/^[a-c](?:[a-c._-]{0,2}[a-c])?$/);
const key = fc.oneof(word, fc.constantFrom("in", "notin", "constructor", "x.io/zone"));
const term = fc.record({
  key,
  operator: fc.constantFrom("=", "==", "!=", "in", "notin", "exists", "absent"),
  values: fc.array(word, { minLength: 1, maxLength: 3 }),
  space: fc.constantFrom("", " ", "\t "),
});
type NaiveTerm = typeof term extends fc.Arbitrary<infer T> ? T : never;

function write({ key: name, operator, values, space }: NaiveTerm): string {
  const list = `(${values.join(`${space},`)})`;
  switch (operator) {
    case "exists":
      return `${space}${name}${space}`;
    case "absent":
      return `!${space}${name}`;
    case "in":
    case "notin":
      return `${name} ${operator}${space}${list}${space}`;
    case "=":
    case "==":
    case "!=":
      return `${name}${space}${operator}${space}${values[0]}`;
  }
}

/** What each operator means, said another way: by the set of labels. */
function naive(
  { key: name, operator, values }: NaiveTerm,
  labels: Record<string, string>,
): boolean {
  const pairs = new Set(Object.entries(labels).map(([left, right]) => `${left}=${right}`));
  const has = Object.keys(labels).includes(name);
  const hasOne = (list: string[]) => list.some((value) => pairs.has(`${name}=${value}`));
  switch (operator) {
    case "exists":
      return has;
    case "absent":
      return !has;
    case "in":
      return hasOne(values);
    case "notin":
      return !hasOne(values);
    case "!=":
      return !hasOne(values.slice(0, 1));
    case "=":
    case "==":
      return hasOne(values.slice(0, 1));
  }
}

function errorOf(text: string): CoxswainError {
  try {
    parseSelector(text);
  } catch (error) {
    if (error instanceof CoxswainError) return error;
    throw error;
  }
  throw new Error(`${text} was accepted`);
}

const manyTerms = (count: number) => Array.from({ length: count }, (_, at) => `k${at}`).join(",");

describe("bad selectors", () => {
  it.each([
    [",", 1, '","'],
    ["a,", 3, "the end"],
    ["a=", 3, "the end"],
    ["a=b c", 5, '"c"'],
    ["a=b)", 4, '")"'],
    ["a in", 5, "the end"],
    ["a in x", 6, '"x"'],
    ["a in ()", 7, '")"'],
    ["a in (x", 8, "the end"],
    ["a in (x y)", 9, '"y"'],
    ["a notin (x),", 13, "the end"],
    ["a > 3", 3, '">"'],
    ["!", 2, "the end"],
    ["!!a", 2, '"!"'],
    ["-a", 1, '"-a"'],
    ["a=b/c", 3, '"b/c"'],
    ["a/b/c", 1, '"a/b/c"'],
    ["*,a", 1, '"*"'],
    ["ä=b", 1, '"ä"'],
    [`a=${"b".repeat(64)}`, 3, `"${"b".repeat(64)}"`],
  ])("are refused with the position and what came: %s", (text, position, got) => {
    const error = errorOf(text);
    expect(error.code).toBe("SELECTOR_INVALID");
    expect(error.message).toContain(`at position ${position} of the selector, got ${got}`);
    expect(error.details).toMatchObject({ position });
  });

  it("are refused beyond the number of terms and of characters", () => {
    expect(parseSelector(manyTerms(limits.selectorTermsMax))).toHaveLength(limits.selectorTermsMax);
    expect(errorOf(manyTerms(limits.selectorTermsMax + 1)).message).toContain("at most 16 terms");
    expect(errorOf("a".repeat(limits.selectorCharsMax + 1)).message).toContain("got 1025");
  });

  it("are refused where only the canonical text is too long, so that what is stored can be read", () => {
    const values = Array.from(
      { length: 17 },
      (_, at) => `${String(at).padStart(2, "0")}${"v".repeat(56)}`,
    );
    const short = `a in(${values.join(",")}`;
    const text = `${short},${"x".repeat(limits.selectorCharsMax - short.length - 2)})`;
    expect(text).toHaveLength(limits.selectorCharsMax);
    expect(errorOf(text).message).toContain("got 1025");
  });
});

describe("selectors", () => {
  it.each([
    ["", "*"],
    [" * ", "*"],
    ["a==b", "a=b"],
    ["a in (b)", "a=b"],
    ["a notin (b,b)", "a!=b"],
    ["c, !b ,a in ( y,x )", "!b,a in (x,y),c"],
    ["a,a", "a"],
    ["in in (in,notin)", "in in (in,notin)"],
    ["topology.example.com/zone=a", "topology.example.com/zone=a"],
  ])("have one canonical text: %j is %j", (text, canonical) => {
    expect(formatSelector(parseSelector(text))).toBe(canonical);
  });

  it("match hosts without the key by != and notin", () => {
    expect(matches(parseSelector("a!=b"), {})).toBe(true);
    expect(matches(parseSelector("a notin (b,c)"), {})).toBe(true);
    expect(matches(parseSelector("a=b"), {})).toBe(false);
  });

  it("do not find labels on Object.prototype", () => {
    expect(matches(parseSelector("constructor"), {})).toBe(false);
    expect(matches(parseSelector("constructor"), { constructor: "x" })).toBe(true);
  });

  it("read back from their own text as themselves", () => {
    fc.assert(
      fc.property(fc.array(term, { maxLength: limits.selectorTermsMax }), (terms) => {
        const selector: Selector = parseSelector(terms.map(write).join(","));
        expect(parseSelector(formatSelector(selector))).toEqual(selector);
      }),
    );
  });

  it("have equal text whatever the order of their terms", () => {
    fc.assert(
      fc.property(fc.array(term, { minLength: 1, maxLength: 6 }), (terms) => {
        const there = parseSelector(terms.map(write).join(","));
        const back = parseSelector(terms.toReversed().map(write).join(","));
        expect(formatSelector(back)).toBe(formatSelector(there));
      }),
    );
  });

  it("match what a naive reading of their terms matches", () => {
    fc.assert(
      fc.property(
        fc.array(term, { maxLength: 3 }),
        fc.dictionary(key, word, { maxKeys: 4 }),
        (terms, labels) => {
          const selector = parseSelector(terms.map(write).join(","));
          expect(matches(selector, labels)).toBe(terms.every((each) => naive(each, labels)));
        },
      ),
      { numRuns: 1_000 },
    );
  });

  it("never fail in another way than SELECTOR_INVALID", () => {
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-c!=(), ]{0,20}$/)), (text) => {
        let outcome: unknown;
        try {
          const selector = parseSelector(text);
          outcome =
            formatSelector(parseSelector(formatSelector(selector))) === formatSelector(selector);
        } catch (error) {
          outcome = isCoxswainError(error, "SELECTOR_INVALID");
        }
        expect(outcome).toBe(true);
      }),
      { numRuns: 1_000 },
    );
  });
});
