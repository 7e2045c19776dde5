import type { StructuredToolInterface } from "@langchain/core/tools";
import fc from "fast-check";
import { z } from "zod";
import { z as z3 } from "zod/v3";

/** A schema and input that it takes, of one of the three makes that LangChain knows. */
export type Pair = { schema: StructuredToolInterface["schema"]; input: Record<string, unknown> };

type Any = { schema: z.ZodType; input: unknown };
type Any3 = { schema: z3.ZodTypeAny; input: unknown };
type AnyJson = { schema: Record<string, unknown>; input: unknown };

/** Each reading of such a schema gives another value, as a clock or a price feed would. */
let reading = 0;
const fresh = (): number => (reading += 1);

const key = fc.constantFrom("action", "order", "type", "args", "id", "side");
const word = fc.string({ maxLength: 6, unit: "grapheme" });

/** One of the pairs with its input, at this depth. */
const pairs = <T>(schema: T, input: fc.Arbitrary<unknown>): fc.Arbitrary<{ schema: T; input: unknown }> =>
  input.map((one) => ({ schema, input: one }));

const zodLeaves: fc.Arbitrary<Any> = fc.oneof(
  pairs<z.ZodType>(z.string(), word),
  pairs<z.ZodType>(z.number(), fc.integer()),
  pairs<z.ZodType>(z.boolean().optional(), fc.constantFrom(true, false, undefined)),
  pairs<z.ZodType>(z.enum(["increase", "hold"]), fc.constantFrom("increase", "hold")),
  pairs<z.ZodType>(z.literal("tool_call").nullable(), fc.constantFrom("tool_call", null)),
  pairs<z.ZodType>(z.coerce.number(), fc.integer().map(String)),
  pairs<z.ZodType>(z.number().default(fresh), fc.constant(undefined)),
  pairs<z.ZodType>(z.number().prefault(fresh), fc.constant(undefined)),
  pairs<z.ZodType>(z.number().catch(fresh), word),
  pairs<z.ZodType>(
    z.string().transform((id) => ({ id, at: fresh(), nested: { type: "tool_call", args: { id } } })),
    word,
  ),
  pairs<z.ZodType>(
    z.string().transform((id) => Promise.resolve([id, fresh()])),
    word,
  ),
  pairs<z.ZodType>(
    z.string().refine(() => Promise.resolve(fresh() > 0)),
    word,
  ),
  pairs<z.ZodType>(z.string().regex(/^\d+$/).transform(BigInt), fc.nat().map(String)),
  pairs<z.ZodType>(
    z.preprocess((raw) => [raw, fresh()], z.array(z.any())),
    word,
  ),
  pairs<z.ZodType>(z.unknown(), fc.jsonValue()),
  pairs<z.ZodType>(z.any(), fc.jsonValue()),
);

const zodObjects = (values: fc.Arbitrary<Any>): fc.Arbitrary<Any> =>
  fc.tuple(fc.dictionary(key, values, { maxKeys: 4 }), fc.nat(5)).map(([fields, kind]) => {
    const shape = mapped(fields, ({ schema }) => schema);
    const input = mapped(fields, (one) => one.input);
    const makes = [z.object, z.strictObject, z.looseObject] as const;
    if (kind < 3) return { schema: (makes[kind] ?? z.object)(shape), input };
    if (kind === 3) return { schema: z.object(shape).catchall(z.string()), input: { ...input, extra: "kept" } };
    if (kind === 4) return { schema: z.object(shape).transform((read) => ({ ...read, at: fresh() })), input };
    return { schema: z.looseObject(shape).pipe(z.looseObject({})), input };
  });

const { zod } = fc.letrec<{ zod: Any }>((tie) => ({
  zod: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    zodLeaves,
    zodObjects(tie("zod")),
    fc.tuple(tie("zod"), fc.nat(3)).map(([{ schema, input }, kind]): Any => {
      if (kind === 0) return { schema: z.array(schema), input: [input, input] };
      if (kind === 1) return { schema: z.record(z.string(), schema), input: { one: input, type: input } };
      if (kind === 2) return { schema: z.tuple([z.literal(1), schema]), input: [1, input] };
      return { schema: z.lazy(() => schema).readonly(), input };
    }),
    fc
      .tuple(tie("zod"), tie("zod"))
      .map(([one, two]): Any => ({ schema: z.union([one.schema, two.schema]), input: two.input })),
    fc.tuple(tie("zod"), word).map(([{ schema, input }, name]): Any => ({
      schema: z.intersection(z.object({ name: z.string() }), z.object({ value: schema })),
      input: { name, value: input },
    })),
  ),
}));

const zod3Leaves: fc.Arbitrary<Any3> = fc.oneof(
  pairs<z3.ZodTypeAny>(z3.string(), word),
  pairs<z3.ZodTypeAny>(z3.number().default(fresh), fc.constant(undefined)),
  pairs<z3.ZodTypeAny>(
    z3.string().transform((id) => ({ id, at: fresh() })),
    word,
  ),
  pairs<z3.ZodTypeAny>(z3.coerce.number(), fc.nat().map(String)),
  pairs<z3.ZodTypeAny>(z3.record(z3.any()), fc.dictionary(key, fc.jsonValue())),
  pairs<z3.ZodTypeAny>(
    z3.string().refine(() => Promise.resolve(fresh() > 0)),
    word,
  ),
);
const { zod3 } = fc.letrec<{ zod3: Any3 }>((tie) => ({
  zod3: fc.oneof(
    { depthSize: "small" },
    zod3Leaves,
    fc.tuple(fc.dictionary(key, tie("zod3"), { maxKeys: 3 }), fc.nat(3)).map(([fields, kind]): Any3 => {
      const made = z3.object(mapped(fields, ({ schema }) => schema));
      const input = mapped(fields, (one) => one.input);
      const makes = [made, made.strict(), made.passthrough(), made.catchall(z3.string())];
      return { schema: makes[kind] ?? made, input };
    }),
    tie("zod3").map(({ schema, input }): Any3 => ({ schema: z3.lazy(() => z3.array(schema)), input: [input] })),
    fc
      .tuple(tie("zod3"), tie("zod3"))
      .map(([one, two]): Any3 => ({ schema: z3.union([one.schema, two.schema]), input: one.input })),
  ),
}));

const { json } = fc.letrec<{ json: AnyJson }>((tie) => ({
  json: fc.oneof(
    { depthSize: "small" },
    pairs<Record<string, unknown>>({ type: "string" }, word),
    pairs<Record<string, unknown>>({}, fc.jsonValue()),
    fc.tuple(fc.dictionary(key, tie("json"), { maxKeys: 3 }), fc.nat(3)).map(([fields, kind]): AnyJson => {
      const properties = mapped(fields, ({ schema }) => schema);
      const open = [{}, { additionalProperties: false }, { additionalProperties: true }, { additionalProperties: {} }];
      return { schema: { type: "object", properties, ...open[kind] }, input: mapped(fields, (one) => one.input) };
    }),
    tie("json").map(({ schema, input }): AnyJson => ({ schema: { type: "array", items: schema }, input: [input] })),
    fc
      .tuple(tie("json"), tie("json"))
      .map(([one, two]): AnyJson => ({ schema: { anyOf: [one.schema, two.schema] }, input: one.input })),
  ),
}));

const mapped = <T, U>(fields: Record<string, T>, change: (one: T) => U): Record<string, U> =>
  Object.fromEntries(Object.entries(fields).map(([name, one]) => [name, change(one)]));

/** Schemas of a tool: an object of one of the makes, around any of the kinds. */
export const toolSchemas: fc.Arbitrary<Pair> = fc.oneof(
  zodObjects(zod).map(({ schema, input }) => ({ schema, input }) as Pair),
  fc.tuple(zod, zod).map(([one, two]) => ({
    schema: z.union([z.object({ one: one.schema }), z.strictObject({ two: two.schema })]),
    input: { two: two.input },
  })),
  zod.map(({ schema, input }) => ({ schema: z.record(z.string(), schema), input: { any: input } })),
  zod3.map(
    ({ schema, input }) => ({ schema: z3.object({ order: schema }).passthrough(), input: { order: input } }) as Pair,
  ),
  json.map(
    ({ schema, input }) =>
      ({ schema: { type: "object", properties: { order: schema } }, input: { order: input } }) as unknown as Pair,
  ),
);
