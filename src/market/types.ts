import * as z from "zod";
import type { FORMATS } from "../evidence/exchange/formats.ts";
import type { InclusionLeaf } from "../evidence/inclusion.ts";
import type { TensorMetadata } from "../evidence/exchange/tensors.ts";
import { ASSURANCES, type Evidence, type Groth16Evidence } from "../receipts/schema.ts";
import type { SignatureEvidence } from "../receipts/signature-schema.ts";
import { referenceValuesSchema, registrySchema } from "../verify/policy.ts";
import { sellerLimitsSchema, sharedAuthorizationSchema } from "../payment/policy.ts";
import { anyCaseAddress } from "../receipts/fields.ts";
import type { Hex } from "../evidence/bytes.ts";

/** Scheme, host and port only. */
const originSchema = z
  .url({ protocol: /^https?$/ })
  .max(512)
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    "an origin: no path, no user, no trailing slash",
  );

/** Addresses a seller may be paid at, lower case. */
const payeesSchema = z.array(anyCaseAddress).min(1).max(16);

/** How much of an exchange a gateway publishes on its chain, least first. */
const SETTLEMENT_MODES = ["private", "batch", "individual"] as const;

/** The kinds of seller with a provider. Receipts of every kind in the table of formats are read and judged. */
export const BOUGHT_FROM = [
  "oip",
  "opengradient",
  "openai-x402",
  "marlin-oyster",
  "mcp-tool",
] as const satisfies readonly (keyof typeof FORMATS)[];

/** A seller as the buyer's configuration knows it. Everything trusted about a seller comes from here. */
export const sellerSchema = z.strictObject({
  id: z.string().regex(/^[a-z0-9][a-z0-9._-]{0,63}$/, "lower-case letters, digits, . _ -"),
  provider: z.enum(BOUGHT_FROM),
  /** Left out where a registry names the seller's places. */
  origin: originSchema.optional(),
  /** The path of the seller's one address, of kinds without a path for each model. Absent: the kind's own. */
  path: z
    .string()
    .max(512)
    .regex(/^\/[\w.~!$&'()*+,;=:@%/-]*$/, "a path: no query, no fragment")
    .optional(),
  /**
   * The certificate that the origin shows for its TLS, SHA-256 of its DER, hex. It stands in for the authorities, so a self-signed
   * one is trusted, and no other one.
   */
  certificateSha256: z
    .string()
    .toLowerCase()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  /** In place of an origin: the registry on chain with the seller's present places, their keys and their certificates. */
  registry: registrySchema.optional(),
  /** The models of a seller that keeps no list, by name. */
  models: z.array(z.string().min(1).max(128)).min(1).max(256).optional(),
  /**
   * How much of an exchange a gateway may publish on its chain: nothing, hashes in a batch of many, or all of it for
   * everyone to read. All of it takes a person's yes to each purchase.
   */
  settlement: z.enum(SETTLEMENT_MODES).optional(),
  /** Where the blobs of a gateway's batches are read (`GET /v1/blobs/ID`), the base of a Walrus aggregator's address. */
  aggregator: z
    .url({ protocol: /^https?$/ })
    .max(512)
    .optional(),
  payTo: payeesSchema,
  /**
   * The key of the answers' signatures, of a seller that serves none: the two coordinates of a secp256k1 point, 64 bytes of
   * hex.
   */
  signingKey: z
    .string()
    .toLowerCase()
    .transform((text) => text.replace(/^(?:0x)?(?:04(?=[0-9a-f]{128}$))?/, ""))
    .pipe(z.string().regex(/^[0-9a-f]{128}$/, "64 bytes of hex"))
    .optional(),
  /** Facilitators that may name the amount of an `upto` payment to this seller, lower case. */
  facilitators: z.array(anyCaseAddress).max(16).default([]),
  /**
   * Where this seller was, and could be paid, before: for what its key signed until then. Nothing is bought or paid
   * there; receipts of that time stay verified.
   */
  former: z
    .array(z.strictObject({ until: z.iso.datetime(), origin: originSchema.optional(), payTo: payeesSchema.optional() }))
    .max(16)
    .default([]),
  /** The terms of payment channels with this seller: who may claim for it, and how long a withdrawal waits. */
  channel: z
    .strictObject({
      receiverAuthorizer: anyCaseAddress,
      withdrawDelaySeconds: z.int().min(900).max(2_592_000),
    })
    .optional(),
  /** Has offers whose method allows it paid with one authorization for several calls. Absent: one for each call. */
  sharedAuthorization: sharedAuthorizationSchema.optional(),
  /** The most to pay this seller, per asset, within the payment policy. */
  limits: z.array(sellerLimitsSchema).max(16).default([]),
  /** The most this seller is known to offer evidence for. */
  assurance: z.enum(ASSURANCES),
  reference: referenceValuesSchema.prefault({}),
});
export type Seller = z.infer<typeof sellerSchema>;

/**
 * One model as a seller lists it. Unauthenticated: prices are checked against the real offer, digests against reference
 * values.
 */
export type ListedModel = {
  sellerId: string;
  name: string;
  /** Seller's words, already cleaned and capped. */
  task: string;
  description: string;
  /** Empty for models without tensors, as those of chats. */
  inputs: TensorMetadata[];
  outputs: TensorMetadata[];
  /**
   * Its input in the seller's words, cleaned and capped, an example of one, and the places in it of numbers alone. For models described
   * without tensors.
   */
  takes?: {
    description: Record<string, string>;
    example: Record<string, unknown>;
    numbers: (string | null)[][];
  };
  /** SHA-256 of the model file as the seller claims it, hex. */
  sha256: string | null;
  /** SHA-256 of its proof verification key's canonical form as the seller claims it, hex. */
  proof?: string | null;
  price: { network: string; asset: string; amount: string } | null;
};

/** A seller's list: models on offer and, apart from them, those with tensors unknown to this version. */
export type Listing = {
  models: ListedModel[];
  /** `reason` completes "cannot be bought:" in our own words. */
  unsupported: { sellerId: string; name: string; reason: string }[];
  /** Contracts that anchor its batches, as the seller claims them. */
  relays?: { network: string; contract: string }[];
};

/** Our adapter for one kind of seller. Holds no money and makes no judgement. */
export interface Provider {
  /**
   * Whether a seller at an address shows itself to be of this kind, for kinds without a list of their own. Without an
   * owner's word only such a seller is taken for one. Left out by kinds that their list tells.
   */
  recognises?(seller: Seller, signal?: AbortSignal): Promise<boolean>;
  /** The seller's list of models, or null where it keeps none. Bounded, never followed elsewhere. */
  listModels(seller: Seller, signal?: AbortSignal): Promise<Listing | null>;
  /** One model by the name it was asked for, of a seller that keeps no list; empty where it serves no such model. */
  describeModel(seller: Seller, name: string, signal?: AbortSignal): Promise<Listing>;
  /**
   * The seller at each of its present places, the one to try first at the front, with the certificate that each must show.
   * Left out by kinds of sellers with one place.
   */
  places?(seller: Seller, signal?: AbortSignal): Promise<Seller[]>;
  /** Fetches attestation evidence for a fresh nonce, or the bare signing key without one; null where the seller has neither. */
  attest(seller: Seller, nonce: Uint8Array, signal?: AbortSignal): Promise<{ keyId: Hex; evidence: Evidence[] } | null>;
  /**
   * Headers of each request for an answer besides its format's own. A request without a payment asks for a price alone: its
   * headers allow nothing beyond that. Left out by kinds without any.
   */
  requestHeaders?(seller: Seller, sent: "paid" | "unpaid"): Record<string, string>;
  /** Signature evidence in an answer or its headers (names lower case), or null. */
  responseEvidence(headers: Record<string, string>, body: Uint8Array): SignatureEvidence | null;
  /**
   * What the seller publishes about an answer's batch, by the id of its leaf, or null where it keeps none. Nothing in
   * it is checked.
   */
  fetchInclusion(
    seller: Seller,
    id: string,
    signal?: AbortSignal,
    /** When the answer was signed, unix seconds. */
    signedAt?: number,
  ): Promise<PublishedInclusion | null>;
  /** Whether a seller anchors its answers as it is configured. Left out by kinds of sellers who always may. */
  publishes?(seller: Seller): boolean;
  /** Why a person is asked before this seller gets a request, one sentence; null for no reason. Left out by most. */
  asksFor?(seller: Seller): string | null;
  /** The proof of an answer, by the SHA-256 of its request's bytes (hex), or null where the seller keeps none. */
  fetchProof(seller: Seller, requestSha256: string, signal?: AbortSignal): Promise<PublishedProof | null>;
}

/** What a seller publishes about an answer's proof. Only its shape was checked. */
export type PublishedProof =
  | { state: "pending" }
  | { state: "proved"; evidence: Groth16Evidence }
  | { state: "failed" };

/** A seller's word for where an answer is anchored, with all leaves of that batch. */
export type PublishedInclusion =
  | { state: "pending" }
  | { state: "anchored"; root: Hex; transaction: Hex; leaves: InclusionLeaf[] };
