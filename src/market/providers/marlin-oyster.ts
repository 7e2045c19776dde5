import { fromHex, toBase64 } from "../../evidence/bytes.ts";
import { keyIdOfPoint, spkiOfPoint } from "../../evidence/oyster.ts";
import { oysterSignatureEvidence } from "../../receipts/signature-schema.ts";
import type { Provider } from "../types.ts";
import { modelByName } from "./listed.ts";

/**
 * Adapter for gateways of Marlin's Oyster: Ollama behind x402 in an enclave. It lists no models and serves no key, so both
 * stand in the seller's entry. Its answers come with their signature in `X-Signature`.
 */
export const marlinOysterProvider: Provider = {
  listModels(seller) {
    const listed = seller.models?.map((name) => modelByName(seller, name, ""));
    return Promise.resolve(listed === undefined ? null : { models: listed, unsupported: [] });
  },

  describeModel: () => Promise.resolve({ models: [], unsupported: [] }),

  attest({ signingKey }) {
    if (signingKey === undefined) return Promise.resolve(null);
    const spki = spkiOfPoint(fromHex(signingKey));
    const evidence = [{ kind: "signature.key" as const, publicKey: toBase64(spki) }];
    return Promise.resolve({ keyId: keyIdOfPoint(signingKey), evidence });
  },

  responseEvidence(headers) {
    const signature = headers["x-signature"]?.toLowerCase().replace(/^(?:0x)?/, "0x");
    return oysterSignatureEvidence.safeParse({ kind: "signature.oyster", signature }).data ?? null;
  },

  fetchInclusion: () => Promise.resolve(null),
  fetchProof: () => Promise.resolve(null),
};
