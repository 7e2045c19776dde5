import { z } from "zod";
import { fromUtf8, toBase64, toHex, utf8 } from "../../evidence/bytes.ts";
import { TEE_HEADERS, teeIdOf } from "../../evidence/tee-signature.ts";
import { Proof402Error } from "../../errors.ts";
import type { Http } from "../../http/client.ts";
import { teeSignatureEvidence, type TeeSignatureEvidence } from "../../receipts/schema.ts";
import type { WireRequest } from "../../payment/types.ts";
import { cleanSellerText } from "../seller-text.ts";
import { nest, toTensors } from "../tensors.ts";
import { DATATYPES, tensorMetadataSchema, type ListedModel, type Provider, type Seller } from "../types.ts";
import { readInclusionAnswer, readPublishedBatch } from "./published-batch.ts";
import { readProofAnswer } from "./published-proof.ts";

const CATALOG_BYTES = 1_000_000;
const DOCUMENT_BYTES = 64_000;
const BATCH_BYTES = 4_000_000;

const catalogSchema = z.object({
  models: z
    .array(
      z.object({
        name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
        task: z.string().max(10_000).default(""),
        description: z.string().max(100_000).default(""),
        sha256: z
          .string()
          .regex(/^[0-9a-f]{64}$/)
          .nullish(),
        inputs: z.array(tensorMetadataSchema).min(1).max(64),
        outputs: z.array(tensorMetadataSchema).min(1).max(64),
        price: z
          .object({
            network: z.string().max(64),
            asset: z.string().regex(/^0x[0-9a-fA-F]{40}$/),
            amount: z.string().regex(/^(?:0|[1-9][0-9]{0,77})$/),
          })
          .nullish(),
      }),
    )
    .max(1000),
});

const tensorsSchema = z
  .array(
    z.object({
      name: z.string().min(1).max(128),
      datatype: z.enum(DATATYPES),
      shape: z.array(z.int().min(0).max(1_000_000)).max(8),
      data: z.array(z.union([z.number(), z.boolean(), z.string()])).max(1_000_000),
    }),
  )
  .min(1)
  .max(64);

/**
 * Adapter for sellers that speak the Open Inference Protocol v2 behind x402, list their models at `/v1/catalog`,
 * and, where they run in an enclave, serve `/enclave/attestation`, `/signing-key` and `/v1/manifest`.
 */
export function createOipProvider(http: Http, clock: () => Date): Provider {
  const get = async (
    seller: Seller,
    path: string,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<Uint8Array | null> => {
    const response = await http.request({
      method: "GET",
      url: `${seller.origin}${path}`,
      maxBytes,
      ...(signal === undefined ? {} : { signal }),
    });
    if (response.status === 404) return null;
    // 202 comes with a body that says what is not there yet.
    if (response.status !== 200 && response.status !== 202) {
      throw new Proof402Error(
        "seller_error",
        `Seller "${seller.id}" answered ${response.status} to GET ${path.split("?")[0]}.`,
        {
          next: "Try again later or choose another seller.",
        },
      );
    }
    return response.body;
  };

  return {
    async listModels(seller, signal) {
      const body = await get(seller, "/v1/catalog", CATALOG_BYTES, signal);
      const parsed = catalogSchema.safeParse(body === null ? null : parseJson(body));
      if (!parsed.success) throw malformed(seller, "catalog");
      return parsed.data.models.map((model): ListedModel => ({
        sellerId: seller.id,
        name: model.name,
        task: cleanSellerText(model.task, 80),
        description: cleanSellerText(model.description, 600),
        inputs: model.inputs,
        outputs: model.outputs,
        sha256: model.sha256 ?? null,
        price: model.price ? { ...model.price, asset: model.price.asset.toLowerCase() } : null,
      }));
    },

    async attest(seller, nonce, signal) {
      const [document, key, manifest] = await Promise.all([
        get(seller, `/enclave/attestation?nonce=${toHex(nonce)}`, DOCUMENT_BYTES, signal),
        get(seller, "/signing-key", DOCUMENT_BYTES, signal),
        get(seller, "/v1/manifest", CATALOG_BYTES, signal),
      ]);
      if (document === null || key === null) return null;
      const spki = readSigningKey(parseJson(key));
      if (spki === null) throw malformed(seller, "signing key");
      const text = readText(document)?.trim();
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
        ],
      };
    },

    buildRequest(seller, model, input, nonce): WireRequest {
      const path = `/v2/models/${encodeURIComponent(model.name)}/infer`;
      const body = utf8(JSON.stringify({ id: nonce, inputs: toTensors(model.inputs, input) }));
      return {
        method: "POST",
        url: `${seller.origin}${path}`,
        path,
        headers: { "content-type": "application/json", accept: "application/json" },
        body: toBase64(body),
        nonce,
      };
    },

    readInput(body) {
      const input = readTensors(body, "inputs");
      if (input !== null) return input;
      throw new Proof402Error("malformed_request", "The receipt's request is not an Open Inference Protocol request.", {
        next: "Do not act on this receipt.",
      });
    },

    readAnswer(model, body) {
      const answer = readTensors(body, "outputs");
      if (answer !== null) return answer;
      throw new Proof402Error(
        "malformed_answer",
        `The answer for "${model}" is not an Open Inference Protocol response.`,
        { next: "Keep the receipt and choose another seller." },
      );
    },

    responseEvidence(headers): TeeSignatureEvidence | null {
      if (headers[TEE_HEADERS.signature] === undefined) return null;
      const strip = (text: string | undefined): string | undefined => text?.toLowerCase().replace(/^0x/, "");
      const parsed = teeSignatureEvidence.safeParse({
        kind: "signature.tee",
        teeId: headers[TEE_HEADERS.teeId]?.toLowerCase(),
        requestHash: strip(headers[TEE_HEADERS.requestHash]),
        outputHash: strip(headers[TEE_HEADERS.outputHash]),
        timestamp: Number(headers[TEE_HEADERS.timestamp]),
        signature: headers[TEE_HEADERS.signature],
      });
      return parsed.success ? parsed.data : null;
    },

    async fetchInclusion(seller, id, signal) {
      const body = await get(seller, `/v1/inclusions/${id}`, DOCUMENT_BYTES, signal);
      if (body === null) return null;
      const answer = readInclusionAnswer(parseJson(body));
      if (answer === null) throw malformed(seller, "inclusion");
      if (answer.state === "pending") return answer;
      const batch = await get(seller, `/v1/batches/${answer.root}`, BATCH_BYTES, signal);
      if (batch === null) return null;
      const leaves = readPublishedBatch(parseJson(batch));
      if (leaves === null) throw malformed(seller, "batch");
      return { ...answer, leaves };
    },

    async fetchProof(seller, requestSha256, signal) {
      const body = await get(seller, `/v1/proofs/${requestSha256}`, DOCUMENT_BYTES, signal);
      if (body === null) return null;
      const answer = readProofAnswer(parseJson(body));
      if (answer === null) throw malformed(seller, "proof");
      return answer;
    },
  };
}

const malformed = (seller: Seller, what: string): Proof402Error =>
  new Proof402Error("malformed_seller_data", `Seller "${seller.id}" sent a malformed ${what}.`, {
    next: "Choose another seller.",
  });

/** The tensors in a body's list as nested arrays by name, texts cleaned; null where the list or a shape is not as it should be. */
function readTensors(body: Uint8Array, list: "inputs" | "outputs"): Record<string, unknown> | null {
  const value = parseJson(body);
  const parsed = tensorsSchema.safeParse((value as Record<string, unknown> | null | undefined)?.[list]);
  if (!parsed.success) return null;
  const whole = parsed.data.every((t) => t.shape.reduce((product, size) => product * size, 1) === t.data.length);
  if (!whole) return null;
  return Object.fromEntries(
    parsed.data.map(({ name, shape, data }) => [
      cleanSellerText(name, 128),
      nest(
        shape,
        data.map((item) => (typeof item === "string" ? cleanSellerText(item, 2000) : item)),
      ),
    ]),
  );
}

/** Parsed JSON of UTF-8 bytes, or undefined. */
function parseJson(bytes: Uint8Array): unknown {
  const text = readText(bytes);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function readText(bytes: Uint8Array): string | undefined {
  try {
    return fromUtf8(bytes);
  } catch {
    return undefined;
  }
}

/** DER of the PEM SubjectPublicKeyInfo (RFC 7468) in a `/signing-key` answer. */
function readSigningKey(answer: unknown): Uint8Array | null {
  const pem = z.object({ public_key: z.string().max(4096) }).safeParse(answer);
  const match = pem.success
    ? /^-----BEGIN PUBLIC KEY-----([A-Za-z0-9+/=\s]+)-----END PUBLIC KEY-----\s*$/.exec(pem.data.public_key)
    : null;
  const text = match?.[1]?.replace(/\s+/g, "");
  if (text === undefined || !z.base64().safeParse(text).success) return null;
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
