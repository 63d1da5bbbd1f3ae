/**
 * What may be stored: the rules for keys, attributes and changes that every adapter enforces alike.
 *
 * Whatever passes here is accepted by DynamoDB, DynamoDB Local, the embedded engine and memory, and
 * reads back as it was written. A breach is a defect of the caller (assert), except for an item that
 * is too large, which depends on data and is an operating error.
 */
import assert from "node:assert/strict";
import { CoxswainError } from "../kernel/errors.ts";
import type { Attribute, Attributes, Condition, Key } from "./store.ts";

/** Largest item, names and values together: DynamoDB's own limit. */
export const itemBytesMax = 400 * 1024;
/** Most keys in one `getMany`: DynamoDB's own limit of a batch. */
const getManyKeysMax = 100;

const pkBytesMax = 2048;
const skBytesMax = 1024;
/** DynamoDB's number range; every double inside it keeps its exact value. */
const numberMagnitudeMin = 1e-130;
const numberMagnitudeMax = 9.9e125;

export function checkKey({ pk, sk }: Key): void {
  checkKeyText("pk", pk, pkBytesMax);
  checkKeyText("sk", sk, skBytesMax);
}

export function checkKeys(keys: readonly Key[]): void {
  assert(
    keys.length <= getManyKeysMax,
    `Expected at most ${getManyKeysMax} keys, got ${keys.length}`,
  );
  for (const key of keys) checkKey(key);
  const distinctCount = new Set(keys.map(({ pk, sk }) => `${pk}\0${sk}`)).size;
  assert(distinctCount === keys.length, "Expected each key once");
}

export function checkQuery(
  pk: string,
  options: { readonly prefix?: string; readonly after?: string; readonly limit: number },
): void {
  checkKeyText("pk", pk, pkBytesMax);
  for (const text of [options.prefix, options.after]) {
    assert(text === undefined || text.isWellFormed(), "Expected well-formed text");
  }
  const { limit } = options;
  assert(
    Number.isSafeInteger(limit) && limit >= 1,
    `Expected \`limit\` to be 1 or more, got ${limit}`,
  );
}

export function checkConditions(conditions: readonly Condition[]): void {
  for (const condition of conditions) {
    if (condition.kind === "absent") continue;
    checkName(condition.attribute);
    if (condition.kind !== "without") checkValue(condition.attribute, condition.value);
  }
}

export function checkAttributes(attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) {
    checkName(name);
    checkValue(name, value);
  }
}

export function checkChange(set: Attributes, remove: readonly string[]): void {
  checkAttributes(set);
  // With nothing to set, DynamoDB and its look-alikes differ in whether an item comes to be.
  assert(Object.keys(set).length > 0, "Expected `set` to name at least one attribute");
  for (const name of remove) {
    checkName(name);
    assert(!Object.hasOwn(set, name), `Expected ${name} in \`set\` or \`remove\`, got both`);
  }
}

export function checkIncrement(attribute: string, by: number): void {
  checkName(attribute);
  assert(Number.isSafeInteger(by), `Expected \`by\` to be an integer, got ${by}`);
}

/** Throws REQUEST_TOO_LARGE for an item that DynamoDB would not take. */
export function checkSize(key: Key, attributes: Attributes): void {
  const bytes = itemBytes(key, attributes);
  if (bytes > itemBytesMax) throw itemTooLarge(key, `got ${bytes}`);
}

export function itemTooLarge(key: Key, actual: string, cause?: unknown): CoxswainError {
  return new CoxswainError(
    "REQUEST_TOO_LARGE",
    `Expected item ${key.pk}/${key.sk} to have at most ${itemBytesMax} bytes, ${actual}`,
    { details: { key, itemBytesMax }, cause },
  );
}

/**
 * Order of sort keys in DynamoDB: by UTF-8 bytes, compared without encoding them. Code units give
 * the same order except that surrogates (U+10000 and up) sort above U+E000 to U+FFFF in UTF-8.
 */
export function compareBytes(left: string, right: string): number {
  const shorter = Math.min(left.length, right.length);
  for (let index = 0; index < shorter; index++) {
    const difference = byteRank(left.charCodeAt(index)) - byteRank(right.charCodeAt(index));
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

function byteRank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}

/** Size as DynamoDB counts it; exact for text and bytes, at most 21 bytes for a number. */
export function itemBytes(key: Key, attributes: Attributes): number {
  let bytes = "pksk".length + Buffer.byteLength(key.pk) + Buffer.byteLength(key.sk);
  for (const [name, value] of Object.entries(attributes)) {
    bytes += Buffer.byteLength(name) + valueBytes(value);
  }
  return bytes;
}

function valueBytes(value: Attribute): number {
  if (typeof value === "string") return Buffer.byteLength(value);
  if (typeof value === "number") return Math.ceil(String(value).length / 2) + 1;
  return value.byteLength;
}

function checkKeyText(name: "pk" | "sk", text: string, bytesMax: number): void {
  assert(text.isWellFormed(), `Expected \`${name}\` to be well-formed text`);
  const bytes = Buffer.byteLength(text);
  assert(
    bytes >= 1 && bytes <= bytesMax,
    `Expected \`${name}\` to have 1 to ${bytesMax} bytes, got ${bytes}`,
  );
}

function checkName(name: string): void {
  assert(
    name !== "" && name !== "pk" && name !== "sk",
    `Expected an attribute name other than pk and sk, got ${JSON.stringify(name)}`,
  );
}

function checkValue(name: string, value: Attribute): void {
  if (typeof value === "string") {
    assert(value.isWellFormed(), `Expected ${name} to be well-formed text`);
  } else if (typeof value === "number") {
    const magnitude = Math.abs(value);
    assert(
      value === 0 || (magnitude >= numberMagnitudeMin && magnitude <= numberMagnitudeMax),
      `Expected ${name} to be a number that DynamoDB can hold, got ${value}`,
    );
  } else {
    assert(value instanceof Uint8Array, `Expected ${name} to be text, a number or bytes`);
  }
}
