import * as z from "zod";
import { Proof402Error } from "../../errors.ts";

/** Sellers of one quorum: each is a purchase. */
const MAX_SELLERS = 9;

const bound = z.number().min(0).refine(Number.isFinite, "must be a finite number");

/** How far two values of one tensor may lie apart. Either bound will do. */
const toleranceSchema = z
  .strictObject({
    /** In the tensor's own unit. */
    absolute: bound.optional(),
    /** As a share of the greater of the two sizes: 0.01 for one part in a hundred. */
    relative: bound.max(1).optional(),
  })
  .refine(({ absolute, relative }) => absolute !== undefined || relative !== undefined, "needs absolute or relative");
export type Tolerance = z.infer<typeof toleranceSchema>;

const termsSchema = z
  .strictObject({
    /** Purchases, each of another seller. */
    of: z.int().min(2).max(MAX_SELLERS),
    /** Answers that have to agree: more than half of them. */
    agree: z.int().min(2).max(MAX_SELLERS),
    /** By the name of a tensor of the answer; `*` for all others. Without one, values have to be the same. */
    tolerance: z.record(z.string().min(1).max(128), toleranceSchema).optional(),
  })
  .refine(({ of, agree }) => agree <= of, "agree is at most of")
  .refine(({ of, agree }) => agree * 2 > of, "agree must be more than half of of, or two sides could both have it");

/** Terms of a purchase from several sellers. */
export type QuorumTerms = z.infer<typeof termsSchema>;

/** Why an answer is not of a quorum's agreeing set. */
export type Dissent =
  /** It says something else. */
  | "differs"
  /** Its receipt's verdict is `failed`. */
  | "failed"
  /** This version cannot read it. */
  | "unreadable"
  /** Its signing key or its wallet is that of a seller before it, so it is no second voice. */
  | "same_seller";

/** Reads the terms of a quorum. Throws Proof402Error `invalid_input`. */
export function readTerms(value: unknown): QuorumTerms {
  const read = termsSchema.safeParse(value);
  if (read.success) return read.data;
  const [issue] = read.error.issues;
  throw new Proof402Error(
    "invalid_input",
    `The quorum cannot be used: ${issue?.path.map(String).join(".") || "the whole"}: ${issue?.message ?? "another form"}.`,
    { next: 'Give quorum as { of: 3, agree: 2, tolerance: { "*": { absolute: 0.001 } } }.' },
  );
}
