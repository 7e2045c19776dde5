import { Proof402Error } from "../errors.ts";

/** JSON Schema of a tool's arguments. */
export type JsonSchema = Readonly<Record<string, unknown>>;

const isSchema = (value: unknown): value is JsonSchema =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const schemasIn = (value: unknown): JsonSchema[] => (Array.isArray(value) ? value.filter(isSchema) : []);

/**
 * The value without keys outside its schema, at every depth: an undescribed key reaches neither the comparison nor the
 * tool. Where a schema lists no keys (a record, free data), all of them stay.
 */
export function namedOnly(value: unknown, root: JsonSchema): unknown {
  return reduce(value, [root]);

  function reduce(part: unknown, schemas: readonly JsonSchema[]): unknown {
    if (typeof part !== "object" || part === null) return part;
    const here = leaves(schemas, root);
    if (Array.isArray(part))
      return part.map((item, at) =>
        reduce(
          item,
          here.flatMap((one) => itemSchemas(one, at)),
        ),
      );
    const named = Object.entries(part).filter(
      ([key]) => here.some((one) => names(one, key)) || !here.some((one) => lists(one)),
    );
    return Object.fromEntries(
      named.map(([key, member]) => [
        key,
        reduce(
          member,
          here.flatMap((one) => memberSchemas(one, key)),
        ),
      ]),
    );
  }
}

/** An alternative that takes any object describes every key of it. */
const ANYTHING: JsonSchema = { propertyNames: {} };

/** The schemas and all that they combine or refer to, each once. */
function leaves(schemas: readonly JsonSchema[], root: JsonSchema): JsonSchema[] {
  const found = new Set(schemas);
  // A set takes in what is added while it is walked.
  for (const schema of found) {
    const alternatives = [...schemasIn(schema["anyOf"]), ...schemasIn(schema["oneOf"])];
    if (!lists(schema) && alternatives.some(takesAnything)) found.add(ANYTHING);
    const conditional = ["if", "then", "else"].map((word) => schema[word]);
    const referred = referredTo(schema["$ref"], root);
    for (const one of [...alternatives, ...schemasIn(schema["allOf"]), ...schemasIn([...conditional, referred])])
      found.add(one);
  }
  return [...found];
}

/** What a reference into the same schema points at (RFC 6901). Others are not followed. */
function referredTo(reference: unknown, root: JsonSchema): unknown {
  if (typeof reference !== "string" || !reference.startsWith("#")) return undefined;
  const steps = reference.slice(1).split("/").slice(1);
  return steps.reduce<unknown>((at, step) => {
    const key = decodeURIComponent(step).replaceAll("~1", "/").replaceAll("~0", "~");
    return typeof at === "object" && at !== null && Object.hasOwn(at, key) ? (at as JsonSchema)[key] : undefined;
  }, root);
}

const COMBINED = ["anyOf", "oneOf", "allOf"] as const;

const takesAnything = (schema: JsonSchema): boolean =>
  (schema["type"] === undefined || schema["type"] === "object") &&
  !lists(schema) &&
  [...COMBINED, "$ref", "const", "enum"].every((word) => !(word in schema));

/** Whether the schema says which keys there are. */
const lists = ({ properties, patternProperties, additionalProperties }: JsonSchema): boolean =>
  isSchema(properties) || isSchema(patternProperties) || additionalProperties === false;

const names = (schema: JsonSchema, key: string): boolean =>
  memberSchemas(schema, key).length > 0 ||
  isSchema(schema["propertyNames"]) ||
  (Array.isArray(schema["required"]) && schema["required"].includes(key));

/** What the schema itself demands of a key's value. An empty schema for all other keys describes none of them. */
function memberSchemas(schema: JsonSchema, key: string): JsonSchema[] {
  const { properties, patternProperties, additionalProperties } = schema;
  const patterns = isSchema(patternProperties) ? Object.entries(patternProperties) : [];
  const described = [
    ...(isSchema(properties) && Object.hasOwn(properties, key) ? [properties[key]] : []),
    ...patterns.filter(([pattern]) => new RegExp(pattern, "u").test(key)).map(([, one]) => one),
  ];
  if (described.length > 0) return described.map((one) => (isSchema(one) ? one : {}));
  return isSchema(additionalProperties) && Object.keys(additionalProperties).length > 0 ? [additionalProperties] : [];
}

/** What the schema itself demands of an item. Tuples are `prefixItems`, and `items` as a list in older drafts. */
function itemSchemas({ items, prefixItems, additionalItems }: JsonSchema, at: number): JsonSchema[] {
  const tuple = Array.isArray(items) ? items : prefixItems;
  const placed: unknown = Array.isArray(tuple) ? tuple[at] : undefined;
  return schemasIn([placed ?? (Array.isArray(items) ? additionalItems : items)]);
}

const RECEIPT_ID = {
  type: "string",
  minLength: 1,
  maxLength: 64,
  description: "Id of the verified receipt that justifies this",
} as const;

/**
 * The schema of a guarded tool: the tool's own, with `receipt_id`. It only checks, so that transforms and defaults of the
 * tool's schema are applied once. Throws Proof402Error `guard_schema` where it is not of an object, or of a choice or
 * combination of objects, or has a `receipt_id` already.
 *
 * @example
 * ```ts
 * import { withReceiptId } from "proof402";
 *
 * const schema = withReceiptId("pay", { type: "object", properties: { amount: { type: "number" } }, required: ["amount"] });
 * // schema.required is ["amount", "receipt_id"]
 * ```
 */
export function withReceiptId(name: string, schema: JsonSchema): JsonSchema {
  const { required, $defs } = schema;
  const admitted = {
    ...admitting(name, schema),
    type: "object",
    required: [...(Array.isArray(required) ? (required as unknown[]) : []), "receipt_id"],
  };
  if (!JSON.stringify(schema).includes('"$ref":"#')) return admitted;
  // What refers to the schema means it without receipt_id.
  const definitions = { ...(isSchema($defs) ? $defs : {}), [ARGUMENTS]: schema };
  return moved({ ...admitted, $defs: definitions }) as JsonSchema;
}

const ARGUMENTS = "arguments_without_receipt";

/** The same with references to the schema's own parts pointing at the copy in its definitions. */
function moved(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(moved);
  if (!isSchema(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, part]) => [
      key,
      key === "$ref" && typeof part === "string" && part.startsWith("#")
        ? `#/$defs/${ARGUMENTS}${part.slice(1)}`
        : moved(part),
    ]),
  );
}

function admitting(name: string, schema: JsonSchema): JsonSchema {
  const combined = COMBINED.filter((word) => Array.isArray(schema[word]));
  const { type, properties } = schema;
  const ofObject = type === "object" || (type === undefined && (combined.length > 0 || isSchema(properties)));
  if (!ofObject || (isSchema(properties) && Object.hasOwn(properties, "receipt_id"))) {
    throw new Proof402Error(
      "guard_schema",
      `The schema of "${name}" must be of an object without a field receipt_id.`,
      { next: "Define the tool's schema as an object." },
    );
  }
  return {
    ...schema,
    ...Object.fromEntries(
      combined.map((word) => [word, schemasIn(schema[word]).map((one) => admitting(name, { type: "object", ...one }))]),
    ),
    properties: { ...(isSchema(properties) ? properties : {}), receipt_id: RECEIPT_ID },
  };
}
