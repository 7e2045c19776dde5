import * as z from "zod";
import { LEAF_ENCODING, type InclusionLeaf } from "../../evidence/inclusion.ts";
import { lowered, type Hex } from "../../evidence/bytes.ts";
import { hex0x } from "../../receipts/fields.ts";

/** More answers than any batch this version looks through. */
const MAX_LEAVES = 1024;

const hash = z
  .string()
  .regex(/^0x[0-9a-fA-F]{64}$/)
  .transform((text) => lowered(`0x${text.slice(2)}`));
const leafSchema = z.tuple([
  hash,
  hash,
  hash,
  z
    .string()
    .max(10_000)
    .regex(/^0x(?:[0-9a-fA-F]{2})*$/)
    .transform((text) => lowered(`0x${text.slice(2)}`)),
  z.string().regex(/^(?:0|[1-9][0-9]{0,11})$/),
]);

/** OpenZeppelin's `tree.dump()`. Its `tree` is not read: what it says is rebuilt from the values. */
const batchSchema = z.object({
  format: z.literal("standard-v1"),
  leafEncoding: z.tuple([
    z.literal(LEAF_ENCODING[0]),
    z.literal(LEAF_ENCODING[1]),
    z.literal(LEAF_ENCODING[2]),
    z.literal(LEAF_ENCODING[3]),
    z.literal(LEAF_ENCODING[4]),
  ]),
  values: z
    .array(z.object({ value: leafSchema }))
    .min(1)
    .max(MAX_LEAVES),
});

/** The leaves of a published batch, in its order, or null where it is no batch of this layout. */
export function readPublishedBatch(value: unknown): InclusionLeaf[] | null {
  const parsed = batchSchema.safeParse(value);
  if (!parsed.success) return null;
  return parsed.data.values.map(({ value: [teeId, inputHash, outputHash, signature, timestamp] }) => ({
    teeId,
    inputHash,
    outputHash,
    signature,
    timestamp: Number(timestamp),
  }));
}

/** Where a seller says that an answer stands; null where the text is neither. */
export function readInclusionAnswer(
  value: unknown,
): { state: "pending" } | { state: "anchored"; root: Hex; transaction: Hex } | null {
  const parsed = z
    .discriminatedUnion("state", [
      z.object({ state: z.literal("pending") }),
      z.object({
        state: z.literal("anchored"),
        root: hex0x(32),
        transaction: hex0x(32),
      }),
    ])
    .safeParse(value);
  return parsed.success ? parsed.data : null;
}
