import * as z from "zod";
import { jsonOf, toBase64 } from "../../evidence/bytes.ts";
import { teeIdOf } from "../../evidence/tee-signature.ts";
import type { Http } from "../../http/client.ts";
import type { ListedModel, Listing, Provider, Seller } from "../types.ts";
import { createAsk } from "./ask.ts";
import { malformed, sellerError } from "./errors.ts";
import { isModelName, MAX_MODELS, nameSchema, readModelList, wordsSchema } from "./listed.ts";
import { readSigningKey, signatureIn } from "./signing.ts";

const LIST_BYTES = 4_000_000;
const DOCUMENT_BYTES = 64_000;

/** One entry of a list as OpenAI's API has it. */
const entrySchema = z.looseObject({ id: nameSchema });

/**
 * Adapter for sellers of an OpenAI-compatible API behind x402. They list their models at `/v1/models`, and few of them with
 * a price. Most sign nothing; one that signs its answers as our own sellers do serves its key at `/signing-key`.
 */
export function createOpenAiX402Provider(http: Http): Provider {
  const ask = createAsk(http);
  const get = async (seller: Seller, path: string, maxBytes: number, signal?: AbortSignal): Promise<unknown> => {
    const { status, body } = await ask(seller, path, maxBytes, signal);
    if (status === 404) return null;
    if (status === 200) return jsonOf(body);
    throw sellerError(seller, status, path);
  };

  return {
    async listModels(seller, signal) {
      const answer = await get(seller, "/v1/models", LIST_BYTES, signal);
      return answer === null ? null : readList(seller, answer);
    },

    async describeModel(seller, name, signal) {
      const none = { models: [], unsupported: [] };
      if (!isModelName(name)) return none;
      const answer = await get(seller, `/v1/models/${encodeURIComponent(name)}`, DOCUMENT_BYTES, signal);
      const model = answer === null ? null : readEntry(seller, answer);
      return model?.name === name ? { models: [model], unsupported: [] } : none;
    },

    async attest(seller, _nonce, signal) {
      const { status, body } = await ask(seller, "/signing-key", DOCUMENT_BYTES, signal);
      // Anything may stand at an address that OpenAI's API does not have.
      const spki = status === 200 ? readSigningKey(jsonOf(body)) : null;
      if (spki === null) return null;
      return { keyId: teeIdOf(spki), evidence: [{ kind: "signature.key", publicKey: toBase64(spki) }] };
    },

    responseEvidence: signatureIn,
    fetchInclusion: () => Promise.resolve(null),
    fetchProof: () => Promise.resolve(null),
  };
}

/** The models of a list, each entry read for itself. Throws Proof402Error `malformed_seller_data`. */
function readList(seller: Seller, answer: unknown): Listing {
  const entries = readModelList(answer);
  if (entries === null) throw malformed(seller, "list of models");
  const models = new Map<string, ListedModel>();
  for (const entry of entries.slice(0, MAX_MODELS)) {
    const model = readEntry(seller, entry);
    // Of two entries of one name the first counts.
    if (model !== null && !models.has(model.name)) models.set(model.name, model);
  }
  return { models: [...models.values()], unsupported: [] };
}

function readEntry({ id: sellerId }: Seller, entry: unknown): ListedModel | null {
  const parsed = entrySchema.safeParse(entry);
  return parsed.success
    ? { sellerId, name: parsed.data.id, ...wordsSchema.parse(entry), inputs: [], outputs: [] }
    : null;
}
