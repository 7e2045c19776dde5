import { KNOWN_KINDS, type Evidence, type Layer, type LayerResult, type Receipt } from "../receipts/schema.ts";
import { allEvidence } from "./find-evidence.ts";

/** Evidence without use after the answer: it decided whether to pay, and what to sign. Read in the core only. */
const OF_DELIVERY: readonly string[] = [
  "tee.nitro",
  "model.manifest",
  "signature.key",
  "signature.tee",
  "signature.opengradient",
  "signature.oyster",
  "transfer.http",
  "tls.peer",
  "served.fallback",
  "registry.tee",
];

/** The kinds of evidence about a computation. Those that this version does not know are still seen as such. */
export const COMPUTATION = /^(?:zk|replay)\./;

/** Which evidence the layers rest on. */
export type Used = {
  /** The layers as the evidence decides them, before what else is known. */
  layers: Readonly<Record<Layer, LayerResult>>;
  /** A document was genuine, and bound a key. */
  attested: boolean;
  signer: boolean;
  /** The judges of a computation, by the kind that each reads. */
  computations: Readonly<Record<string, LayerResult | null>>;
};

/** Kinds that this version does not know. */
export const unknownKinds = (receipt: Receipt): string[] =>
  allEvidence(receipt)
    .map(({ kind }) => kind)
    .filter((kind) => !KNOWN_KINDS.includes(kind));

/** Kinds of which a piece is known and decided no layer, each with its reason where it is its place. */
export function unusedEvidence({ core, later }: Receipt, used: Used): string[] {
  const misplaced = later.flatMap(({ evidence: { kind } }) =>
    OF_DELIVERY.includes(kind) ? [`${kind} after delivery`] : [],
  );
  const pieces = [
    ...core.evidence,
    ...later.map(({ evidence }) => evidence).filter(({ kind }) => !OF_DELIVERY.includes(kind)),
  ];
  return [
    ...misplaced,
    ...pieces.filter((one) => KNOWN_KINDS.includes(one.kind) && !isUsed(one, used)).map(({ kind }) => kind),
  ];
}

function isUsed({ kind }: Evidence, { layers, attested, signer, computations }: Used): boolean {
  if (kind === "model.manifest") return attested;
  if (kind === "signature.key") return signer && !attested;
  if (["signature.tee", "signature.opengradient", "signature.oyster"].includes(kind))
    return signer || layers.response.status === "fail";
  if (kind === "inclusion.merkle") return layers.inclusion.status !== "skip";
  if (!COMPUTATION.test(kind)) return true;
  return layers.computation.status !== "skip" && computations[kind] === layers.computation;
}
