import type { Layer, LayerResult } from "../receipts/schema.ts";

/** What a reader might believe and must not, in plain words, for whatever did not pass. */
const WORDS: Partial<Record<Layer, string>> = {
  platform: "that the seller runs on attested hardware",
  code: "that the seller runs known code",
  key: "that the signing key belongs to attested hardware",
  freshness: "that the attestation was made for this buyer and recently",
  request: "that the seller worked on exactly this request",
  response: "that the answer is what the seller produced",
  model: "that these model weights were used: they were not measured or not compared",
  computation: "that the computation itself was done correctly: there is no zk proof and no re-execution",
  payment: "that the payment is what the offer asked for",
  settlement: "that money moved on chain",
  inclusion: "that the result was anchored on chain",
};

/** The receipt's list of what is not proven (DESIGN §2). */
export function notProven(layers: Record<Layer, LayerResult>, simulated: boolean): string[] {
  const missing = Object.entries(WORDS).flatMap(([layer, words]) =>
    layers[layer as Layer].status === "pass" ? [] : [`Not shown: ${words}.`],
  );
  const limits = [
    ...(simulated
      ? ["Simulated: the root of trust was made on a development machine; no hardware vendor vouches for the platform."]
      : []),
    ...(layers.settlement.status === "pass"
      ? ["Settlement is as the buyer's own node reported it; ask a node you trust for the transaction to confirm it."]
      : []),
    "Times are the buyer's and the seller's clocks; no third party stamped them.",
    "That the model's answer is right or good: only where it came from.",
  ];
  return [...missing, ...limits];
}
