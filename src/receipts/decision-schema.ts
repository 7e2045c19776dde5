import * as z from "zod";
import { fromUtf8, toBase32, toHex } from "../evidence/bytes.ts";
import { canonicalJson, canonicalSha256 } from "../evidence/canonical.ts";
import { INVISIBLE } from "../evidence/hidden-signs.ts";
import { hex, instant, isOpaque } from "./fields.ts";
import { ASSURANCES, VERDICTS } from "./schema.ts";

/** Most receipts of one decision, and most bytes of its action as RFC 8785 JSON. */
export const MAX_RECEIPTS = 16;
export const MAX_ACTION_BYTES = 65_536;

/** Controls and signs of the direction of text, in a text of several lines. Some languages need the other invisible ones. */
const HIDING_IN_LINES = /(?![\n\t])[\p{Cc}\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069]/u;

const textOf = (max: number, hiding: RegExp) =>
  z
    .string()
    .max(max)
    .refine((text) => text.trim() !== "" && text.isWellFormed() && !hiding.test(text), "text that shows as it is");
/** One line of text that reads as it is: nothing invisible, and no space around it. */
export const line = (max: number) =>
  textOf(max, INVISIBLE).refine((text) => text.trim() === text, "text that shows as it is");

/** A name without case, spaces, punctuation and accents. Names that differ by these alone are one. */
const alike = (name: string): string =>
  name
    .normalize("NFKD")
    .replace(/[^\p{L}\p{N}\p{M}]|[\u0300-\u036F]/gu, "")
    .toUpperCase()
    .toLowerCase();

/** Who decided. Without a person a program did. */
const bySchema = z
  .strictObject({
    program: line(128).nullable(),
    person: line(128).nullable(),
    /** The second person, of a decision that takes two. */
    second: line(128).nullable(),
  })
  .refine(
    ({ person, second }) => second === null || (person !== null && alike(person) !== alike(second)),
    "a second person beside another first one",
  );

/** A receipt of a decision, and its appraisal at the time of the decision under the policy of its holder. */
const judgedSchema = z.strictObject({
  id: z.string().regex(/^p402_[a-z2-7]{52}$/),
  verdict: z.enum(VERDICTS),
  /** Reached, and asked for. */
  assurance: z.enum(ASSURANCES),
  wanted: z.enum(ASSURANCES),
  simulated: z.boolean(),
  policyHash: hex(32),
  /** sha256 of what was judged, as `judgedDigest` takes it. */
  judged: hex(32),
});

const content = {
  type: z.literal("proof402/decision"),
  version: z.literal(1),
  at: instant,
  /** The kind of decision, such as `payroll`. */
  purpose: line(128),
  /** The thing that it is about, such as an invoice's number. */
  subject: line(512),
  receipts: z
    .array(judgedSchema)
    .min(1)
    .max(MAX_RECEIPTS)
    .refine((all) => new Set(all.map(({ id }) => id)).size === all.length, "each receipt once"),
  /** Plain data: the action with its arguments. */
  action: z
    .unknown()
    .refine((value) => value !== undefined && isOpaque(value), "plain data at most 16 levels deep")
    .refine((value) => sizeOf(value) <= MAX_ACTION_BYTES, `at most ${MAX_ACTION_BYTES} bytes`),
  outcome: textOf(4000, HIDING_IN_LINES),
  by: bySchema,
  /** Random, so that a hash tells nothing of a decision left out. */
  salt: hex(16),
};

/** Text of a decision's id. */
const idSchema = z.string().regex(/^dec_[a-z2-7]{52}$/);

/** A decision as it is logged and stored. */
export const decisionSchema = z.strictObject({ ...content, id: idSchema });
export const decisionContentSchema = z.strictObject(content);

export type Decision = z.infer<typeof decisionSchema>;
/** A decision without its id. */
export type DecisionContent = z.infer<typeof decisionContentSchema>;

/** `dec_` and the lower-case base32 (RFC 4648, no padding) of sha256(JCS(decision without its id)). */
export const decisionId = ({ id: _id, ...rest }: DecisionContent & { id?: string }): string =>
  `dec_${toBase32(canonicalSha256(rest))}`;

/** sha256(JCS(decision)), hex. */
export const decisionDigest = (decision: Decision): string => toHex(canonicalSha256(decision));

/**
 * The value whose hash is the digest of a decision's log entry. Beside the decision's own hash it names the purpose, so that
 * a report of one purpose shows of each decision left out that it had another.
 */
export const loggedValue = ({ purpose, record }: { purpose: string; record: string }): unknown => ({ purpose, record });

/** The same of a whole decision. */
export const loggedDecision = (decision: Decision): unknown =>
  loggedValue({ purpose: decision.purpose, record: decisionDigest(decision) });

/** Length of a value as RFC 8785 JSON in bytes; infinite if it has no such form. */
function sizeOf(value: unknown): number {
  try {
    return canonicalJson(value).length;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** The text of a decision in the store: RFC 8785 JSON. */
export const decisionText = (decision: Decision): string => fromUtf8(canonicalJson(decision));
