import type { Layer, LayerResult } from "../receipts/schema.ts";
import type { Rivals } from "./types.ts";

/** Plain words against false beliefs of a reader, for every layer that did not pass. */
const WORDS: Partial<Record<Layer, string>> = {
  platform: "that the seller runs on attested hardware",
  code: "that the seller runs known code",
  key: "that the signing key belongs to attested hardware",
  freshness: "that the attestation was made for this buyer and recently",
  request: "that the seller worked on exactly this request",
  response: "that the answer is what the seller produced",
  model: "that these model weights were used",
  computation: "that the computation was done correctly",
  payment: "that the payment is what the offer asked for and was for this request",
  settlement: "that money moved on chain",
  inclusion: "that the result was anchored on chain",
};

/** A kind in the form that this format gives its own; any other is somebody's free text and is not repeated. */
const KIND = /^[a-z0-9]{1,16}(?:\.[a-z0-9]{1,16}){1,2}$/;
const MOST_NAMED = 8;

/** Why nothing shows that the payer agreed. */
const AGREEMENT = {
  missing: "its signature is not in the file. The buyer adds it once it is used up",
  disputed: "the settlement is told in more than one way, so no signature in it counts",
  wrong: "the signature in the file is not the payer's of this payment",
  nameless: "the signature in the file is of a message that names no payer, and nothing else that is signed names one",
} as const;

/** The tie between payment and exchange, if the protocol has no field for the payment's hash. */
const CARRIED = {
  request:
    "That the answer repeats the payment's hash: its protocol has no field for it. The request carries it, and the signature, if it passed, covers that.",
  neither:
    "That the payment was for this exchange: neither part carries the payment's hash. Another answer to the same request, signed at the same time, would look the same.",
} as const;

/** Limits of a verdict besides the layers that did not pass. */
export type LimitsOfVerdict = {
  /** The policy knows the seller. */
  known: boolean;
  simulated: boolean;
  /** The seller named the amount. */
  metered: boolean;
  /** Other calls share the authorization. */
  shared: boolean;
  /** The receipt is of format 1, whose request names the payment and not its terms. */
  unboundTerms: boolean;
  /** Whether the payer's signature of the payment is shown, and names the payer. */
  agreement: "shown" | keyof typeof AGREEMENT;
  /** The proof's key has no ceremony behind it. */
  developmentProof: boolean;
  /** The proof is of weights behind a commitment. */
  secretWeights: boolean;
  /** The proof names no request. */
  unboundProof: boolean;
  /** Kinds of evidence unknown to this version, and known pieces that decided no layer. */
  unknownKinds: readonly string[];
  unused: readonly string[];
  /** The parts of the exchange whose bytes are not here, and whether a signature covers their Keccak-256. */
  leftOut: readonly ("request" | "response")[];
  signed: boolean;
  /** The uncovered parts of the exchange under a passed signature. Null if it covers all bytes, or there is none. */
  leavesOut: string | null;
  /** Where the payment's hash is: in answer and request, in the request alone, or in neither. */
  carried: "both" | "request" | "neither";
  /** The content coding that the answer came in and was decoded from. */
  decodedFrom: string | null;
  /**
   * Explains why a genuine attestation leaves open if the connection ended in the enclave; null if it does, or without
   * one.
   */
  tls: string | null;
  /** The receipt holds a registry's entry of the seller. */
  registered: boolean;
  /** What else is stored of the purchase. */
  rivals: (Rivals & { isOwn: boolean }) | null;
};

/** The receipt's list of what is not proven (docs/architecture.md §2). */
export function notProven(
  layers: Record<Layer, LayerResult>,
  { known, simulated, metered, developmentProof, secretWeights, unboundProof, ...about }: LimitsOfVerdict,
): string[] {
  const unknown = known
    ? []
    : [
        "No policy: the one that judges knows nothing of this seller, so there is nothing to compare the evidence with.",
      ];
  const missing = Object.entries(WORDS).flatMap(([layer, words]) =>
    layers[layer as Layer].status === "pass" ? [] : [`Not shown${told(layers[layer as Layer])}: ${words}.`],
  );
  const limits = [
    ...(layers.key.status === "pass" && layers.platform.status !== "pass"
      ? [
          "In what machine the signing key is, and who else holds it: your policy names the key itself, and nothing more.",
        ]
      : []),
    ...(simulated
      ? ["Simulated: a development machine made the root of trust; no hardware vendor vouches for it."]
      : []),
    ...(layers.settlement.status === "pass"
      ? [
          "Settlement is as one node of the chain reported it to the judge; ask a node you trust for the transaction to confirm it.",
        ]
      : []),
    ...(layers.inclusion.status === "pass"
      ? [
          "Inclusion is as one node of the chain reported it to the judge; ask a node you trust for the transaction to confirm it.",
        ]
      : []),
    ...(developmentProof
      ? ["Development setup: the proof's key was made by one party, who could have kept what forges proofs."]
      : []),
    ...(secretWeights
      ? [
          "That the proved weights are those of the named model file: they are secret, always the same, and no more is shown.",
        ]
      : []),
    ...(unboundProof
      ? [
          "That the proof was made for this purchase: an EZKL proof names no request, and may be of another purchase of the same input.",
        ]
      : []),
    ...(about.unboundTerms
      ? [
          "That the payment's terms are these: format 1 binds the request to the authorization's nonce, and not to amount, payer, payee, token, validity or offer.",
        ]
      : []),
    ...(about.agreement === "shown" ? [] : [`That the payer agreed to these terms: ${AGREEMENT[about.agreement]}.`]),
    ...(about.tls === null ? [] : [`That the connection ended in the enclave. ${about.tls}`]),
    ...(about.registered
      ? ["That the registry names the seller so: the buyer read it on chain, and shows no more of that than its word."]
      : []),
    ...(about.rivals === null || about.rivals.others.length === 0 ? [] : [aboutRivals(about.rivals)]),
    ...(about.shared
      ? [
          "Which part of the transfer was for this call: its authorization is for several calls, and the seller settles them in one sum.",
        ]
      : []),
    ...(metered ? ["That the amount charged fits the work: the seller named it, up to what was signed."] : []),
    // A line each: a receipt has room for short ones only.
    ...(about.leavesOut?.split("; ").map((part) => `Anything that the seller's signature does not cover: ${part}.`) ??
      []),
    ...(about.carried === "both" ? [] : [CARRIED[about.carried]]),
    ...about.leftOut.map((part) => hashesOf(part, about.signed)),
    ...(about.decodedFrom === null
      ? []
      : [
          `That the answer came as these bytes: it came in the content coding ${about.decodedFrom}, and they are its content.`,
        ]),
    ...(about.unknownKinds.length === 0
      ? []
      : [`Not judged: evidence of kinds this version does not know${named(about.unknownKinds)}.`]),
    ...(about.unused.length === 0
      ? []
      : [`Not used: evidence that decided no layer (${[...new Set(about.unused)].join(", ")}).`]),
    "Times are the buyer's and the seller's clocks, no third party's.",
    "That the model's answer is right or good.",
  ];
  return [...unknown, ...missing, ...limits];
}

/** Names the other receipts of the payment, and the buyer's own. Ids only: they hold no one's words. */
function aboutRivals({ others, own, isOwn }: Rivals & { isOwn: boolean }): string {
  const more = others.length > RIVALS_NAMED ? ` and ${others.length - RIVALS_NAMED} more` : "";
  const ids = `${others.slice(0, RIVALS_NAMED).join(", ")}${more}`;
  if (isOwn) return `Anything of the other receipts that name this payment (${ids}): this one is this buyer's own.`;
  return own === null
    ? `That this is the receipt of its payment: others that are stored here name it, too (${ids}).`
    : `That this is the receipt of its payment: this buyer's own is ${own}.`;
}
const RIVALS_NAMED = 3;

const told = ({ status }: LayerResult): string => (status === "reported" ? ", only told by the file" : "");

/** A name for missing bytes: two hashes may be of different bytes, and at most one of them was signed. */
const hashesOf = (part: "request" | "response", signed: boolean): string =>
  signed
    ? `That the ${part}, whose bytes are left out, has the SHA-256 in the file: only its Keccak-256 was signed.`
    : `That the ${part}, whose bytes are left out, has the hashes in the file: no signature covers them.`;

function named(kinds: readonly string[]): string {
  const known = [...new Set(kinds.filter((kind) => KIND.test(kind)))].slice(0, MOST_NAMED);
  return known.length === 0 ? "" : ` (${known.join(", ")})`;
}
