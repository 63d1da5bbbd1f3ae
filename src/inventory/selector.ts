/**
 * Selectors: which hosts a rollout or a listing means, by their labels.
 *
 * The grammar is that of Kubernetes label selectors (equality and set based): `a=b`, `a==b`, `a!=b`,
 * `a in (x,y)`, `a notin (x,y)`, `a`, `!a`; a comma means and; empty text or `*` matches all. As there,
 * `!=` and `notin` also match hosts without the key. Selectors are kept in canonical form (terms and
 * values sorted, each once), so that equal selectors have equal text.
 * Source: kubernetes.io, concepts, labels and selectors.
 */
import { CoxswainError } from "../kernel/errors.ts";
import { idPattern, labelKeyPattern, limits } from "../protocol/limits.ts";
import type { Labels } from "./host.ts";

/** One condition on one label. `values` is sorted and empty only for `exists` and `absent`. */
interface SelectorTerm {
  readonly key: string;
  readonly operator: "in" | "notIn" | "exists" | "absent";
  readonly values: readonly string[];
}

/** All terms must hold; no terms match every host. */
export type Selector = readonly SelectorTerm[];

/** Text to canonical selector. Throws SELECTOR_INVALID with position (from 1), expected and got. */
export function parseSelector(text: string): Selector {
  checkLength(text);
  const trimmed = text.trim();
  if (trimmed === "" || trimmed === "*") return [];
  const reader = new Reader(text);
  const terms: SelectorTerm[] = [];
  do {
    if (terms.length === limits.selectorTermsMax) {
      throw reader.error(`at most ${limits.selectorTermsMax} terms`);
    }
    terms.push(readTerm(reader));
  } while (reader.take(","));
  if (!reader.isAtEnd()) throw reader.error('"," or the end of the selector');
  const selector = canonical(terms);
  // The canonical text is what gets stored and parsed again, and may be a little longer.
  checkLength(formatSelector(selector));
  return selector;
}

/** Canonical text; `*` where the selector matches all. */
export function formatSelector(selector: Selector): string {
  return selector.length === 0 ? "*" : selector.map(formatTerm).join(",");
}

/** True where all terms hold for `labels`. */
export function matches(selector: Selector, labels: Labels): boolean {
  return selector.every((term) => {
    // Own properties only: a label may be called `constructor`.
    const value = Object.hasOwn(labels, term.key) ? labels[term.key] : undefined;
    switch (term.operator) {
      case "in":
        return value !== undefined && term.values.includes(value);
      case "notIn":
        return value === undefined || !term.values.includes(value);
      case "exists":
        return value !== undefined;
      case "absent":
        return value === undefined;
    }
  });
}

function formatTerm({ key, operator, values }: SelectorTerm): string {
  const isSingle = values.length === 1;
  switch (operator) {
    case "in":
      return isSingle ? `${key}=${values[0]}` : `${key} in (${values.join(",")})`;
    case "notIn":
      return isSingle ? `${key}!=${values[0]}` : `${key} notin (${values.join(",")})`;
    case "exists":
      return key;
    case "absent":
      return `!${key}`;
  }
}

/** Sorts by the code units of each term's text and drops repetitions. */
function canonical(terms: readonly SelectorTerm[]): Selector {
  const byText = new Map(terms.map((term) => [formatTerm(term), term]));
  return [...byText].toSorted(([left], [right]) => (left < right ? -1 : 1)).map(([, term]) => term);
}

function readTerm(reader: Reader): SelectorTerm {
  if (reader.take("!")) return { key: readKey(reader), operator: "absent", values: [] };
  const key = readKey(reader);
  if (reader.take("!=")) return { key, operator: "notIn", values: [readValue(reader)] };
  if (reader.take("==") || reader.take("=")) {
    return { key, operator: "in", values: [readValue(reader)] };
  }
  if (reader.isAtEnd() || reader.isNext(",")) return { key, operator: "exists", values: [] };
  if (reader.takeWord("notin")) return { key, operator: "notIn", values: readValues(reader) };
  if (reader.takeWord("in")) return { key, operator: "in", values: readValues(reader) };
  throw reader.error('"=", "!=", "in", "notin", "," or the end of the selector');
}

function readKey(reader: Reader): string {
  return reader.word(
    (word) => word.length <= limits.labelKeyCharsMax && labelKeyPattern.test(word),
    `a label key (letters, digits, ".", "_", "-", one "/"; at most ${limits.labelKeyCharsMax})`,
  );
}

function readValue(reader: Reader): string {
  return reader.word(
    (word) => word.length <= limits.labelValueCharsMax && idPattern.test(word),
    `a label value (letters, digits, ".", "_", "-"; at most ${limits.labelValueCharsMax})`,
  );
}

function readValues(reader: Reader): string[] {
  if (!reader.take("(")) throw reader.error('"("');
  const values = new Set<string>();
  do values.add(readValue(reader));
  while (reader.take(","));
  if (!reader.take(")")) throw reader.error('"," or ")"');
  return [...values].toSorted();
}

/** A cursor over the text; every method first skips white space. */
class Reader {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  isAtEnd(): boolean {
    this.#skip();
    return this.#at === this.#text.length;
  }

  isNext(symbol: string): boolean {
    this.#skip();
    return this.#text.startsWith(symbol, this.#at);
  }

  take(symbol: string): boolean {
    if (!this.isNext(symbol)) return false;
    this.#at += symbol.length;
    return true;
  }

  takeWord(word: string): boolean {
    return this.#peekWord() === word && this.take(word);
  }

  word(isValid: (word: string) => boolean, expected: string): string {
    const word = this.#peekWord();
    if (!isValid(word)) throw this.error(expected);
    this.#at += word.length;
    return word;
  }

  error(expected: string): CoxswainError {
    this.#skip();
    const word = this.#peekWord();
    const got = word === "" ? this.#text.charAt(this.#at) : word;
    const position = this.#at + 1;
    const shown = got === "" ? "the end" : JSON.stringify(got.slice(0, 80));
    return new CoxswainError(
      "SELECTOR_INVALID",
      `Expected ${expected} at position ${position} of the selector, got ${shown}`,
      { details: { position, expected, got } },
    );
  }

  #peekWord(): string {
    this.#skip();
    const word = /[^\s,()=!]*/y;
    word.lastIndex = this.#at;
    return word.exec(this.#text)?.[0] ?? "";
  }

  #skip(): void {
    while (/\s/.test(this.#text.charAt(this.#at))) this.#at++;
  }
}

function checkLength(text: string): void {
  if (text.length <= limits.selectorCharsMax) return;
  throw new CoxswainError(
    "SELECTOR_INVALID",
    `Expected a selector of at most ${limits.selectorCharsMax} characters, got ${text.length}`,
    {
      details: {
        position: limits.selectorCharsMax + 1,
        expected: "the end of the selector",
        got: `${text.length} characters`,
      },
    },
  );
}
