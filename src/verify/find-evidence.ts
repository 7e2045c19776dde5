import { equalBytes } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import type { Evidence, KnownEvidence, Receipt } from "../receipts/schema.ts";
import { isSignature, type SignatureEvidence } from "../receipts/signature-schema.ts";

type Kind = KnownEvidence["kind"];
type OfKind<K extends Kind> = Extract<KnownEvidence, { kind: K }>;

/** Evidence of one kind: absent, exactly one, or several, which is never taken as one. */
export type OnlyOne<K extends Kind> = { kind: "none" } | { kind: "one"; evidence: OfKind<K> } | { kind: "many" };

/** Finds the evidence of a kind. The receipt schema has already checked its shape. */
export function onlyOne<K extends Kind>(evidence: readonly Evidence[], kind: K): OnlyOne<K> {
  const found = evidence.filter((item): item is OfKind<K> => item.kind === kind);
  const [first] = found;
  if (first === undefined) return { kind: "none" };
  return found.length === 1 ? { kind: "one", evidence: first } : { kind: "many" };
}

/** Finds the response signature, of any kind: of two kinds neither counts. */
export function onlySignature(
  evidence: readonly Evidence[],
): { kind: "none" } | { kind: "one"; evidence: SignatureEvidence } | { kind: "many" } {
  const [first, ...others] = evidence.filter(isSignature);
  if (first === undefined) return { kind: "none" };
  return others.length === 0 ? { kind: "one", evidence: first } : { kind: "many" };
}

/** Everything a receipt carries: from delivery and later. */
export const allEvidence = (receipt: Receipt): Evidence[] => [
  ...receipt.core.evidence,
  ...receipt.later.map((item) => item.evidence),
];

const ON_CHAIN: readonly unknown[] = ["settlement.x402", "inclusion.merkle"] satisfies Kind[];

/** A receipt's word about a chain, or a dispute about it: open to be read there again. */
export const isOfChain = (evidence: Evidence): boolean =>
  ON_CHAIN.includes(evidence.kind === "disputed" ? evidence["of"] : evidence.kind);

/** Whether the relying party saw or computed a piece of evidence itself. */
export type IsOwn = (evidence: Evidence) => boolean;

/** Compares evidence by content, not by object: a receipt may have been written and read since. */
export const isOwnAmong =
  (own: readonly Evidence[] = []): IsOwn =>
  (evidence) =>
    own.includes(evidence) ||
    own.some((one) => one.kind === evidence.kind && equalBytes(canonicalSha256(one), canonicalSha256(evidence)));
