import * as z from "zod";
import { fromHex, jsonOf, sha256, textOf, toBase64, toHex } from "../../evidence/bytes.ts";
import { openAiChat } from "../../evidence/exchange/openai-chat/openai-chat.ts";
import { pcrHashOf, type RegisteredTee, type RegistryPlace } from "../../evidence/registry.ts";
import { teeIdOf } from "../../evidence/tee-signature.ts";
import type { Http, HttpResponse } from "../../http/client.ts";
import type { RegistryEvidence } from "../../receipts/registry-schema.ts";
import type { Evidence } from "../../receipts/schema.ts";
import { gatewaySignatureEvidence } from "../../receipts/signature-schema.ts";
import type { Listing, Provider, Seller } from "../types.ts";
import { createAsk } from "./ask.ts";
import { isModelName, modelByName, readModelList } from "./listed.ts";
import { malformed, sellerError, unregistered } from "./errors.ts";
import { createBlobs, type ReadBatches } from "./published-blobs.ts";
import { readSigningKey } from "./signing.ts";

const DOCUMENT_BYTES = 64_000;
const LIST_BYTES = 1_000_000;
const MAX_MODELS = 1000;

/** How long a registry's answer is used without asking again, ms. */
const REGISTRY_MS = 60_000;

type ReadRegistry = (place: RegistryPlace, signal?: AbortSignal) => Promise<RegisteredTee[]>;
type Entry = { tee: RegisteredTee; evidence: RegistryEvidence };

/**
 * Adapter for OpenGradient's gateways: OpenAI's API behind x402, with a signature at each answer's end. A gateway stands
 * at the configured origin, or at one of the places that a registry on chain names with their TLS certificates and keys.
 */
export function createOpenGradientProvider(
  http: Http,
  { clock, readRegistry, readBatches }: { clock: () => Date; readRegistry: ReadRegistry; readBatches: ReadBatches },
): Provider {
  const askSeller = createAsk(http);
  const findInBlobs = createBlobs(http, readBatches);
  const registries = new Map<string, { at: number; entries: Entry[] }>();

  const ask = async (
    seller: Seller,
    path: string,
    maxBytes: number,
    signal?: AbortSignal,
  ): Promise<HttpResponse | null> => {
    const response = await askSeller(seller, path, maxBytes, signal);
    if (response.status === 200) return response;
    // A gateway outside its enclave's proxy does not know the path.
    if (response.status >= 500) throw sellerError(seller, response.status, path);
    return null;
  };

  const entriesOf = async (seller: Seller, signal?: AbortSignal): Promise<Entry[]> => {
    const { registry } = seller;
    if (registry === undefined) return [];
    const now = clock().getTime();
    const known = registries.get(seller.id);
    if (known !== undefined && now >= known.at && now - known.at < REGISTRY_MS) return known.entries;
    const entries = (await readRegistry(registry, signal)).flatMap((tee) => entryOf(seller, registry, tee));
    registries.set(seller.id, { at: now, entries });
    return entries;
  };

  return {
    async places(seller, signal) {
      if (seller.registry === undefined) return [seller];
      const entries = await entriesOf(seller, signal);
      if (entries.length === 0) throw unregistered(seller);
      return entries.map(({ evidence: { origin, certificateSha256 } }) => ({ ...seller, origin, certificateSha256 }));
    },

    async listModels(seller, signal) {
      if (seller.models !== undefined) return listing(seller, seller.models);
      // Gateways of OpenGradient's own list nothing: a place need not be known to say so.
      if (seller.origin === undefined) return null;
      const answer = await ask(seller, "/v1/models", LIST_BYTES, signal);
      const names = answer === null ? null : namesIn(jsonOf(answer.body));
      return names === null ? null : listing(seller, names);
    },

    // The list of any OpenAI-compatible API says nothing; the key tells its id.
    async recognises(seller, signal) {
      const key = await ask(seller, "/signing-key", DOCUMENT_BYTES, signal);
      const told = key === null ? undefined : jsonOf(key.body);
      return readSigningKey(told) !== null && teeIdSchema.safeParse(told).success;
    },

    describeModel: (seller, name) => Promise.resolve(listing(seller, [name])),

    async attest(seller, nonce, signal) {
      const entry = (await entriesOf(seller, signal)).find(({ evidence }) => evidence.origin === seller.origin);
      const attestation = await ask(seller, `/enclave/attestation?nonce=${toHex(nonce)}`, DOCUMENT_BYTES, signal);
      const key = await ask(seller, "/signing-key", DOCUMENT_BYTES, signal);
      const told = key === null ? null : readSigningKey(jsonOf(key.body));
      if (key !== null && told === null) throw malformed(seller, "signing key");
      const spki = told ?? entry?.tee.publicKey ?? null;
      if (spki === null) return null;
      const publicKey = toBase64(spki);
      const registered: Evidence[] = entry === undefined ? [] : [entry.evidence];
      const certificateSha256 = (attestation ?? key)?.certificateSha256 ?? null;
      const peer: Evidence[] = certificateSha256 === null ? [] : [{ kind: "tls.peer", certificateSha256 }];
      const around = [...registered, ...peer];
      if (attestation === null)
        return { keyId: teeIdOf(spki), evidence: [{ kind: "signature.key", publicKey }, ...around] };
      const document = textOf(attestation.body)?.replace(/\s+/g, "");
      if (document === undefined || !z.base64().min(4).max(DOCUMENT_BYTES).safeParse(document).success)
        throw malformed(seller, "attestation");
      const fetchedAt = clock().toISOString();
      const nitro = { kind: "tee.nitro" as const, document, nonce: toHex(nonce), publicKey, fetchedAt };
      return { keyId: teeIdOf(spki), evidence: [nitro, ...around] };
    },

    // Always said: a gateway takes silence for leave to publish. The question for a price comes before a person's yes.
    requestHeaders: ({ settlement = "private" }, sent) => ({
      "x-settlement-type": sent === "paid" ? settlement : "private",
    }),

    responseEvidence(_headers, body) {
      const told = openAiChat.signed.signatureIn(body);
      const parsed = gatewaySignatureEvidence.safeParse({ kind: openAiChat.signed.kind, ...told });
      return parsed.success ? parsed.data : null;
    },

    publishes: ({ settlement = "private", aggregator }) => settlement === "batch" && aggregator !== undefined,
    asksFor: ({ settlement }) =>
      settlement === "individual" ? "All of the request and of the answer is published for everyone to read." : null,
    fetchInclusion: (seller, id, signal, signedAt = 0) => findInBlobs(seller, { id, signedAt }, signal),
    fetchProof: () => Promise.resolve(null),
  };
}

/** The seller's models, by names alone: it states no price before it is asked. */
const listing = (seller: Seller, names: readonly string[]): Listing => ({
  models: names.filter(isModelName).map((name) => modelByName(seller, name, "chat")),
  unsupported: [],
});

const teeIdSchema = z.object({ tee_id: z.string().regex(/^0x[0-9a-f]{64}$/i) });

function namesIn(value: unknown): string[] | null {
  const names = readModelList(value)?.map((entry) => (entry as { id?: unknown } | null)?.id);
  if (names === undefined) return null;
  return [...new Set(names.filter((name) => typeof name === "string"))].slice(0, MAX_MODELS);
}

/** An enclave as a seller's place, or none for one that cannot be bought from: another image than pinned, or no address. */
function entryOf(seller: Seller, place: RegistryPlace, tee: RegisteredTee): Entry[] {
  const { network, contract, teeType } = place;
  const { endpoint, teeId, pcrHash, blockNumber, tlsCertificate } = tee;
  const images = imagesOf(seller);
  const url = URL.canParse(endpoint) ? new URL(endpoint) : null;
  const isReachable = url?.protocol === "https:" && url.username + url.password === "" && url.origin.length <= 512;
  if (!isReachable || (images.length > 0 && !images.includes(pcrHash))) return [];
  const certificateSha256 = toHex(sha256(tlsCertificate));
  const at = { origin: url.origin, certificateSha256, blockNumber };
  return [{ tee, evidence: { kind: "registry.tee", network, contract, teeType, teeId, pcrHash, ...at } }];
}

/** The owner's pinned images in the registry's form. */
const imagesOf = ({ reference }: Seller): string[] => [
  ...(reference.pcrHashes ?? []),
  ...reference.measurements.flatMap(({ 0: first, 1: second, 2: third }) =>
    first === undefined || second === undefined || third === undefined
      ? []
      : [pcrHashOf([fromHex(first), fromHex(second), fromHex(third)])],
  ),
];
