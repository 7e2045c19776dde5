import * as z from "zod";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { SETUPS } from "../evidence/groth16.ts";
import { ASSURANCES, LAYERS } from "../receipts/schema.ts";
import { anyCaseAddress } from "../receipts/fields.ts";

const pcr = z
  .string()
  .toLowerCase()
  .regex(/^[0-9a-f]{96}$/, "48 bytes as lower-case hex");
const sha256Hex = z
  .string()
  .toLowerCase()
  .regex(/^[0-9a-f]{64}$/, "32 bytes as lower-case hex");
/** Text that the policy's hash can be made of (RFC 8785 §3.2.2.2). */
const wellFormed = (max: number) =>
  z
    .string()
    .max(max)
    .refine((text) => text.isWellFormed(), "text without lone surrogates");

/** A name that stood twice would leave the second tensor compared with nothing. */
const tensorNames = z
  .array(wellFormed(128))
  .min(1)
  .max(64)
  .refine((names) => new Set(names).size === names.length, "each name once");

/**
 * A circuit of EZKL that proves a model (`zk.ezkl`). Pin only a key you compiled yourself or had audited. By its settings
 * it holds the model's weights. Only compiling shows that the two belong together.
 */
const ezklReferenceSchema = z.strictObject({
  /** SHA-256 of the verification key file, hex. */
  key: sha256Hex,
  /** SHA-256 of the settings file, hex. */
  settings: sha256Hex,
  srs: z.strictObject({
    /** [s]G2 of the setup in EIP-197 bytes: big-endian coordinates, x then y, of each the imaginary part first. */
    sG2: z
      .string()
      .toLowerCase()
      .regex(/^[0-9a-f]{256}$/, "128 bytes as lower-case hex"),
    /** A `development` setup's maker can forge proofs. */
    setup: z.enum(SETUPS),
  }),
  /** Names of the request's tensors, and of the answer's, in the circuit's order: it knows none itself. */
  inputs: tensorNames,
  outputs: tensorNames,
  /** How far an answered number may lie from the proved one. Without it, one unit of the output's scale. */
  tolerance: z.number().min(0).max(1e9).optional(),
});

const network = z.string().regex(/^eip155:[1-9][0-9]{0,19}$/, "CAIP-2 id such as eip155:8453");

/** What a seller's evidence is compared with (RATS reference values). Comes from the relying party, never from the seller. */
export const referenceValuesSchema = z.strictObject({
  /** Accepted measurement sets; a document must match one set in full. PCR index -> SHA-384 hex. */
  measurements: z
    .array(z.record(z.string().regex(/^(?:[0-9]|[12][0-9]|3[01])$/), pcr))
    .max(64)
    .default([]),
  /** Accepted images by keccak256(pcr0 ‖ pcr1 ‖ pcr2), 0x hex: the form in which registries name them. */
  pcrHashes: z
    .array(
      z
        .string()
        .toLowerCase()
        .regex(/^0x[0-9a-f]{64}$/),
    )
    .max(64)
    .optional(),
  /** Response signing keys known by themselves, also from an image that is not known: keccak256 of the SPKI, 0x hex. */
  keyIds: z
    .array(
      z
        .string()
        .toLowerCase()
        .regex(/^0x[0-9a-f]{64}$/),
    )
    .max(64)
    .default([]),
  /** Model name -> SHA-256 of the model file, hex. */
  models: z.record(wellFormed(128), sha256Hex).default({}),
  /** Model name -> SHA-256 of the canonical form of its proof verification key (`zk.groth16`), hex. No other key proves it. */
  proofs: z.record(wellFormed(128), sha256Hex).default({}),
  /** Model name -> the EZKL circuit that proves it. */
  ezkl: z.record(wellFormed(128), ezklReferenceSchema).default({}),
  /** Contracts whose events anchor this seller's batches. An event of any other contract or chain anchors nothing. */
  relays: z
    .array(
      z.strictObject({
        /** CAIP-2. */
        network,
        contract: anyCaseAddress,
      }),
    )
    .max(16)
    .default([]),
});

/** A contract that lists enclaves of a type with their endpoints, keys and certificates (OpenGradient's TEERegistry). */
export const registrySchema = z.strictObject({
  /** CAIP-2. */
  network,
  contract: anyCaseAddress,
  /** Kind of enclave in that registry; 0 is OpenGradient's gateway. */
  teeType: z.int().min(0).max(255).default(0),
});

/**
 * A seller as the relying party knows it: its reference values, and what a purchase from it must say. A missing field
 * is not compared, and an uncompared field is never a pass.
 */
const sellerPolicySchema = referenceValuesSchema.extend({
  /** Scheme, host and port that requests go to. */
  origin: z.string().max(512).optional(),
  /** The path of its one address, of a kind of seller without a path for each model. Absent: the kind's own. */
  path: z.string().max(512).optional(),
  /** In place of an origin: the registry with the seller's present places. */
  registry: registrySchema.optional(),
  /** Kind of seller. */
  provider: z.string().max(64).optional(),
  /** Addresses it may be paid at. */
  payees: z.array(anyCaseAddress).max(16).default([]),
  /** Facilitators that may name the amount of an `upto` payment. */
  facilitators: z.array(anyCaseAddress).max(16).default([]),
  /** Its earlier place and payee: valid for answers signed until then, so that old receipts keep their verdict. */
  former: z
    .array(
      z.strictObject({
        until: z.iso.datetime(),
        origin: z.string().max(512).optional(),
        payees: z.array(anyCaseAddress).max(16).optional(),
      }),
    )
    .max(16)
    .optional(),
  /** The terms of payment channels. */
  channel: z.strictObject({ receiverAuthorizer: anyCaseAddress, withdrawDelaySeconds: z.int().min(0) }).optional(),
});

/** A token that may be paid with, its units and its EIP-712 domain: never as the seller says. */
const assetSchema = z.strictObject({
  network,
  asset: anyCaseAddress,
  decimals: z.int().min(0).max(36),
  domain: z.strictObject({ name: wellFormed(64), version: wellFormed(16) }),
});

/** How a receipt is appraised. Data only, so that its hash names it. */
export const appraisalPolicySchema = z.strictObject({
  /** Assurance that must be reached. */
  assurance: z.enum(ASSURANCES).default("attested"),
  /** Replaces the layers that `assurance` implies. */
  requiredLayers: z.array(z.enum(LAYERS)).optional(),
  /** Roots accepted besides AWS's. SHA-256 of the DER certificate. All of them are treated as simulated hardware. */
  simulatedRoots: z.array(sha256Hex).max(16).default([]),
  /** Seller id -> what is known of it. A receipt of any other seller is `unverified`. */
  sellers: z.record(wellFormed(64), sellerPolicySchema).default({}),
  /** Tokens that may be paid with. */
  assets: z.array(assetSchema).max(256).default([]),
  /** Whether what a file tells of the chain suffices where a pass is required. It stays `reported` and is shown as such. */
  reportedSuffices: z.boolean().default(false),
  /** Oldest attestation document accepted at the evaluation time, seconds. */
  maxAttestationAgeSeconds: z.int().min(1).max(86_400).default(3600),
  /** Whether to accept proofs under a development key: its maker could forge them. */
  developmentSetups: z.boolean().default(false),
  /** How far a re-executed number may lie from the answer's: at most absolute + relative * its magnitude. */
  replayTolerance: z
    .strictObject({ absolute: z.number().min(0).max(1), relative: z.number().min(0).max(1) })
    .default({ absolute: 1e-5, relative: 1e-4 }),
  /** Clock difference tolerated between buyer and seller, seconds. */
  clockSkewSeconds: z.int().min(0).max(3600).default(60),
});

/** A relying party's pins as a file for others to judge by: everything in its policy. */
export const trustSchema = z.strictObject({
  type: z.literal("proof402/trust"),
  version: z.literal(1),
  policy: appraisalPolicySchema,
});

/**
 * Names a policy: SHA-256 of its canonical form (RFC 8785), hex. An appraisal bears it as `policyHash`.
 *
 * @example
 * ```ts
 * import { appraisalPolicySchema, policyHash } from "proof402/verify";
 *
 * const strict = policyHash(appraisalPolicySchema.parse({ assurance: "attested" }));
 * ```
 */
export const policyHash = (policy: AppraisalPolicy): string => toHex(canonicalSha256(policy));

export type TrustFile = z.infer<typeof trustSchema>;
export type AppraisalPolicy = z.infer<typeof appraisalPolicySchema>;
export type EzklReference = z.infer<typeof ezklReferenceSchema>;
export type SellerPolicy = z.infer<typeof sellerPolicySchema>;

/** Whether the images that a seller may run are pinned, in either form. */
export const pinsImages = ({ measurements, pcrHashes }: Pick<SellerPolicy, "measurements" | "pcrHashes">): boolean =>
  measurements.length + (pcrHashes ?? []).length > 0;

/** What the policy knows of a seller, or undefined. A name from a receipt finds no more than what was written there. */
export const sellerOf = ({ sellers }: AppraisalPolicy, sellerId: string): SellerPolicy | undefined =>
  entryOf(sellers, sellerId);

/** Looks up an untrusted key; ignores inherited ones such as `constructor`. */
export const entryOf = <T>(record: Readonly<Record<string, T>> | undefined, name: string): T | undefined =>
  record !== undefined && Object.hasOwn(record, name) ? record[name] : undefined;
