import * as z from "zod";
import { jsonOf, textOf, toBase64, toHex } from "../../evidence/bytes.ts";
import { metadataPath } from "../../evidence/exchange/oip.ts";
import { teeIdOf } from "../../evidence/tee-signature.ts";
import type { Http, HttpResponse } from "../../http/client.ts";
import type { Provider, Seller } from "../types.ts";
import { createAsk } from "./ask.ts";
import { malformed, sellerError } from "./errors.ts";
import { isModelName } from "./listed.ts";
import { readCatalog, readMetadata } from "./oip-listing.ts";
import { readInclusionAnswer, readPublishedBatch } from "./published-batch.ts";
import { readProofAnswer } from "./published-proof.ts";
import { readSigningKey, signatureIn } from "./signing.ts";

const CATALOG_BYTES = 4_000_000;
const DOCUMENT_BYTES = 64_000;
const BATCH_BYTES = 4_000_000;

/**
 * Adapter for sellers that speak the Open Inference Protocol v2 behind x402, list their models at `/v1/catalog`,
 * and, where they run in an enclave, serve `/enclave/attestation`, `/signing-key` and `/v1/manifest`.
 */
export function createOipProvider(http: Http, clock: () => Date): Provider {
  const askSeller = createAsk(http);
  const ask = async (
    seller: Seller,
    path: string,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<HttpResponse | null> => {
    const response = await askSeller(seller, path, maxBytes, signal);
    if (response.status === 404) return null;
    // 202 comes with a body that says what is not there yet.
    if (response.status !== 200 && response.status !== 202) {
      throw sellerError(seller, response.status, path);
    }
    return response;
  };
  const get = async (...asked: Parameters<typeof ask>): Promise<Uint8Array | null> =>
    (await ask(...asked))?.body ?? null;

  return {
    async listModels(seller, signal) {
      const body = await get(seller, "/v1/catalog", CATALOG_BYTES, signal);
      if (body === null) return null;
      const listing = readCatalog(seller, jsonOf(body), http.maxResponseBytes);
      if (listing === null) throw malformed(seller, "catalog");
      return listing;
    },

    async describeModel(seller, name, signal) {
      const none = { models: [], unsupported: [] };
      if (!isModelName(name)) return none;
      const body = await get(seller, metadataPath(name), DOCUMENT_BYTES, signal);
      if (body === null) return none;
      const listing = readMetadata(seller, name, jsonOf(body), http.maxResponseBytes);
      if (listing === null) throw malformed(seller, "model metadata");
      return listing;
    },

    async attest(seller, nonce, signal) {
      const [attestation, key, manifest] = await Promise.all([
        ask(seller, `/enclave/attestation?nonce=${toHex(nonce)}`, DOCUMENT_BYTES, signal),
        get(seller, "/signing-key", DOCUMENT_BYTES, signal),
        get(seller, "/v1/manifest", CATALOG_BYTES, signal),
      ]);
      if (key === null) return null;
      const spki = readSigningKey(jsonOf(key));
      if (spki === null) throw malformed(seller, "signing key");
      // No manifest beside it: nothing measured that.
      if (attestation === null)
        return { keyId: teeIdOf(spki), evidence: [{ kind: "signature.key", publicKey: toBase64(spki) }] };
      const { body: document, certificateSha256 } = attestation;
      const text = textOf(document)?.trim();
      if (text === undefined || !z.base64().max(DOCUMENT_BYTES).safeParse(text).success)
        throw malformed(seller, "attestation");
      return {
        keyId: teeIdOf(spki),
        evidence: [
          {
            kind: "tee.nitro",
            document: text,
            nonce: toHex(nonce),
            publicKey: toBase64(spki),
            fetchedAt: clock().toISOString(),
          },
          ...(manifest === null ? [] : [{ kind: "model.manifest" as const, manifest: toBase64(manifest) }]),
          ...(certificateSha256 === null ? [] : [{ kind: "tls.peer" as const, certificateSha256 }]),
        ],
      };
    },

    responseEvidence: signatureIn,

    async fetchInclusion(seller, id, signal) {
      const body = await get(seller, `/v1/inclusions/${id}`, DOCUMENT_BYTES, signal);
      if (body === null) return null;
      const answer = readInclusionAnswer(jsonOf(body));
      if (answer === null) throw malformed(seller, "inclusion");
      if (answer.state === "pending") return answer;
      const batch = await get(seller, `/v1/batches/${answer.root}`, BATCH_BYTES, signal);
      if (batch === null) return null;
      const leaves = readPublishedBatch(jsonOf(batch));
      if (leaves === null) throw malformed(seller, "batch");
      return { ...answer, leaves };
    },

    async fetchProof(seller, requestSha256, signal) {
      const body = await get(seller, `/v1/proofs/${requestSha256}`, DOCUMENT_BYTES, signal);
      if (body === null) return null;
      const answer = readProofAnswer(jsonOf(body));
      if (answer === null) throw malformed(seller, "proof");
      return answer;
    },
  };
}
