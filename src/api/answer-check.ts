/**
 * Checks a value against the subset of JSON Schema that schemas.ts uses, so that the description in
 * /openapi.json is compared with what the API really answers.
 */
interface Schema {
  readonly $ref?: string;
  readonly anyOf?: readonly Schema[];
  readonly type?: string;
  readonly enum?: readonly unknown[];
  readonly pattern?: string;
  readonly items?: Schema;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
}

const refPrefix = "#/components/schemas/";

/** What is wrong with `value`, one text a defect; empty where it fits. */
export function defectsOf(
  value: unknown,
  schema: object,
  schemas: Readonly<Record<string, object>>,
  at = "answer",
): string[] {
  const own = schema as Schema;
  if (own.$ref !== undefined) {
    const target = schemas[own.$ref.slice(refPrefix.length)];
    return target === undefined ? [`${at}: no ${own.$ref}`] : defectsOf(value, target, schemas, at);
  }
  if (own.anyOf !== undefined) {
    const tried = own.anyOf.map((each) => defectsOf(value, each, schemas, at));
    return tried.some((defects) => defects.length === 0) ? [] : tried.flat();
  }
  const defects: string[] = [];
  if (own.type !== undefined && !hasType(value, own.type)) defects.push(`${at}: is no ${own.type}`);
  if (own.enum !== undefined && !own.enum.includes(value))
    defects.push(`${at}: is not in the list`);
  if (own.pattern !== undefined && !new RegExp(own.pattern).test(String(value))) {
    defects.push(`${at}: does not match ${own.pattern}`);
  }
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) {
      defects.push(...defectsOf(item, own.items ?? {}, schemas, `${at}[${index}]`));
    }
  } else if (typeof value === "object" && value !== null) {
    defects.push(...objectDefects(value, own, schemas, at));
  }
  return defects;
}

function objectDefects(
  value: object,
  schema: Schema,
  schemas: Readonly<Record<string, object>>,
  at: string,
): string[] {
  const defects = (schema.required ?? [])
    .filter((name) => !Object.hasOwn(value, name))
    .map((name) => `${at}: lacks ${name}`);
  for (const [name, item] of Object.entries(value)) {
    const property = schema.properties?.[name] ?? schema.additionalProperties ?? {};
    if (property === false) defects.push(`${at}: has ${name}`);
    else if (typeof property === "object") {
      defects.push(...defectsOf(item, property, schemas, `${at}.${name}`));
    }
  }
  return defects;
}

function hasType(value: unknown, type: string): boolean {
  if (type === "null") return value === null;
  if (type === "array") return Array.isArray(value);
  if (type === "integer") return Number.isInteger(value);
  if (type === "object")
    return typeof value === "object" && value !== null && !Array.isArray(value);
  return typeof value === type;
}
