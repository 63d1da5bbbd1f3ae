/**
 * Between the port's values and DynamoDB's wire forms: attributes, and conditions as expressions.
 *
 * Every attribute name travels as a placeholder, so that no name can clash with a reserved word.
 */
import type { AttributeValue } from "@aws-sdk/client-dynamodb";
import { CoxswainError } from "../kernel/errors.ts";
import type { Attribute, Attributes, Condition, Item, Key } from "./store.ts";

export type WireItem = Record<string, AttributeValue>;

export function encodeKey({ pk, sk }: Key): WireItem {
  return { pk: { S: pk }, sk: { S: sk } };
}

export function encodeItem(item: Item): WireItem {
  const attributes = Object.entries(item.attributes);
  // Not by assignment, which would take an attribute called __proto__ for something else.
  const wire = attributes.map(([name, value]) => [name, encodeValue(value)] as const);
  return { ...Object.fromEntries(wire), ...encodeKey(item) };
}

/** Throws STORE_CORRUPT for an item that this program cannot have written. */
export function decodeItem(wire: WireItem): Item {
  const { pk: pkWire, sk: skWire, ...rest } = wire;
  const key = { pk: pkWire?.S ?? "", sk: skWire?.S ?? "" };
  const attributes = Object.fromEntries(
    Object.entries(rest).map(([name, value]) => [name, decodeValue(key, name, value)]),
  );
  return { ...key, attributes };
}

/** The parts of a request that hold expressions; empty parts are left out, as DynamoDB demands. */
export interface Expressions {
  readonly ConditionExpression?: string;
  readonly UpdateExpression?: string;
  readonly ExpressionAttributeNames?: Record<string, string>;
  readonly ExpressionAttributeValues?: WireItem;
}

/** What an update does to attributes; without one the write has conditions only. */
export interface Change {
  readonly set?: Attributes;
  readonly remove?: readonly string[];
  readonly add?: Readonly<Record<string, number>>;
}

export function encodeExpressions(
  conditions: readonly Condition[],
  change: Change = {},
): Expressions {
  const names: Record<string, string> = {};
  const values: WireItem = {};
  const nameOf = (attribute: string): string => {
    const known = Object.keys(names).find((placeholder) => names[placeholder] === attribute);
    const placeholder = known ?? `#n${Object.keys(names).length}`;
    names[placeholder] = attribute;
    return placeholder;
  };
  const valueOf = (value: Attribute): string => {
    const placeholder = `:v${Object.keys(values).length}`;
    values[placeholder] = encodeValue(value);
    return placeholder;
  };
  const condition = conditions.map((each) => conditionText(each, nameOf, valueOf)).join(" AND ");
  const update = changeText(change, nameOf, valueOf);
  return {
    ...(condition !== "" && { ConditionExpression: condition }),
    ...(update !== "" && { UpdateExpression: update }),
    ...(Object.keys(names).length > 0 && { ExpressionAttributeNames: names }),
    ...(Object.keys(values).length > 0 && { ExpressionAttributeValues: values }),
  };
}

function changeText(
  { set = {}, remove = [], add = {} }: Change,
  nameOf: (attribute: string) => string,
  valueOf: (value: Attribute) => string,
): string {
  const sets = Object.entries(set).map(([name, value]) => `${nameOf(name)} = ${valueOf(value)}`);
  const adds = Object.entries(add).map(([name, by]) => `${nameOf(name)} ${valueOf(by)}`);
  return [
    ...(sets.length > 0 ? [`SET ${sets.join(", ")}`] : []),
    ...(remove.length > 0 ? [`REMOVE ${remove.map((name) => nameOf(name)).join(", ")}`] : []),
    ...(adds.length > 0 ? [`ADD ${adds.join(", ")}`] : []),
  ].join(" ");
}

function conditionText(
  condition: Condition,
  nameOf: (attribute: string) => string,
  valueOf: (value: Attribute) => string,
): string {
  if (condition.kind === "absent") return `attribute_not_exists(${nameOf("pk")})`;
  const name = nameOf(condition.attribute);
  switch (condition.kind) {
    case "equal":
      return `${name} = ${valueOf(condition.value)}`;
    case "without":
      return `attribute_not_exists(${name})`;
    case "below":
      return `(attribute_not_exists(${name}) OR ${name} < ${valueOf(condition.value)})`;
    case "atMost":
      return `(attribute_not_exists(${name}) OR ${name} <= ${valueOf(condition.value)})`;
  }
}

function encodeValue(value: Attribute): AttributeValue {
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  return { B: value };
}

function decodeValue(key: Key, name: string, value: AttributeValue): Attribute {
  if (value.S !== undefined) return value.S;
  if (value.N !== undefined && Number.isFinite(Number(value.N))) return Number(value.N);
  if (value.B !== undefined) return value.B;
  throw new CoxswainError(
    "STORE_CORRUPT",
    `Expected ${name} of ${key.pk}/${key.sk} to be text, a number or bytes, got ${Object.keys(value).join()}`,
    { details: { key, attribute: name } },
  );
}
