import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Receipt } from "./schema.ts";

/** sha256(JCS(value)) of a later evidence or an appraisal as it stands in the receipt, hex. */
export const digestOf = (value: unknown): string => toHex(canonicalSha256(value));

/**
 * The content of a `receipt` or `import` entry: the id (the core's hash), an imported file's evidence, and its missing
 * bodies. One with both is recorded as all were before lacking bodies were.
 */
export const firstDigest = ({ id }: Receipt, later: Receipt["later"], lacking: readonly string[]): string =>
  digestOf(lacking.length === 0 ? { id, later } : { id, later, lacking });

/** The sets of bodies that a receipt may lack or be given. */
export const SETS_OF_BODIES: readonly (readonly string[])[] = [[], ["request"], ["response"], ["request", "response"]];

/**
 * Everything that a receipt was judged on: its id for its core, later evidence, appraisals, its place in the log, and the
 * bodies that it lacked. A decision names it, so that a receipt stored long before is held to what it was then.
 */
export const judgedDigest = ({ id, later, appraisals, log }: Receipt, lacking: readonly string[]): string =>
  digestOf({ id, later, appraisals, log, lacking });
