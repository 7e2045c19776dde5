import { DISPUTABLE, MAX_OF_A_KIND, type Disputable, type Evidence, type Receipt } from "./schema.ts";

const evidenceOf = ({ core, later }: Receipt): Evidence[] => [
  ...core.evidence,
  ...later.map(({ evidence }) => evidence),
];

/** The pieces of one kind. */
export const piecesOf = (receipt: Receipt, kind: Disputable): Evidence[] =>
  evidenceOf(receipt).filter((evidence) => evidence.kind === kind);

/** A kind of which a receipt has more pieces than a reader tries, or null. */
export const crowdedKind = (receipt: Receipt): Disputable | null =>
  DISPUTABLE.find((kind) => piecesOf(receipt, kind).length > MAX_OF_A_KIND) ?? null;

/** Whether files of this receipt told a kind in more than one way. */
export const isDisputed = (receipt: Receipt, kind: Disputable): boolean =>
  evidenceOf(receipt).some((evidence) => evidence.kind === "disputed" && evidence["of"] === kind);

/** The receipt with this piece alone of its kind. */
export function withOnly(receipt: Receipt, kind: Disputable, piece: Evidence): Receipt {
  const { core, later } = receipt;
  const isOther = (evidence: Evidence): boolean => evidence.kind !== kind;
  const at = core.response.receivedAt;
  return {
    ...receipt,
    core: { ...core, evidence: core.evidence.filter(isOther) },
    later: [...later.filter(({ evidence }) => isOther(evidence)), { at, evidence: piece }],
  };
}

/**
 * The receipt without the disputed kinds, of which no file's word counts: which piece is true the chain says, or the proof
 * itself. A piece left out here is still judged alone, so that no marker hides what it contradicts. What `isOwn` knows stays.
 */
export function withoutDisputed(receipt: Receipt, isOwn: (evidence: Evidence) => boolean = () => false): Receipt {
  const disputed: readonly string[] = DISPUTABLE.filter((kind) => isDisputed(receipt, kind));
  // Nearly every receipt, on the path of each verification: no copy is made of it.
  if (disputed.length === 0) return receipt;
  const isLeft = (evidence: Evidence): boolean => !disputed.includes(evidence.kind) || isOwn(evidence);
  const { core, later } = receipt;
  return {
    ...receipt,
    core: { ...core, evidence: core.evidence.filter(isLeft) },
    later: later.filter(({ evidence }) => isLeft(evidence)),
  };
}
