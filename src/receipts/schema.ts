import * as z from "zod";
import type { Hex } from "../evidence/bytes.ts";
import { KEPT_FREE } from "./budget.ts";
import { coreSchemasOf, type listedPriceSchema } from "./core-schema.ts";
import { address, base64, baseUnits, hex, hex0x, hexData, instant, isOpaque, network } from "./fields.ts";
import { registryEvidence } from "./registry-schema.ts";
import type { PaymentShare } from "./payment-schema.ts";
import { fallbackEvidence, tlsEvidence, transferEvidence } from "./transfer-schema.ts";
import { gatewaySignatureEvidence, oysterSignatureEvidence, teeSignatureEvidence } from "./signature-schema.ts";
import { ezklEvidence, groth16Evidence } from "./proof-schema.ts";
import { replayEvidence, type replayedOutputs } from "./replay-schema.ts";
import { ASSURANCES, VERDICTS } from "./words.ts";

/** Evidence appended after delivery, and the receipt's appraisals. KEPT_FREE comes on top. */
export const MAX_LATER = 64;
export const MAX_APPRAISALS = 256;
/** Pieces of one disputable kind, core and later together: each can take a reader an engine's run or a look at the chain. */
export const MAX_OF_A_KIND = 4;

/** Kinds of late evidence with one piece for a layer, and so open to dispute between files. */
export const DISPUTABLE = ["settlement.x402", "inclusion.merkle", "zk.groth16", "zk.ezkl"] as const;
export type Disputable = (typeof DISPUTABLE)[number];

export const LAYERS = [
  "platform",
  "code",
  "key",
  "freshness",
  "request",
  "response",
  "model",
  "computation",
  "payment",
  "settlement",
  "inclusion",
] as const;

/** AWS Nitro attestation document (COSE_Sign1) with what is needed to appraise it offline. */
export const nitroEvidence = z.strictObject({
  kind: z.literal("tee.nitro"),
  /** The document as received: untagged COSE_Sign1, base64. It carries its own certificate chain. */
  document: base64(65_536),
  /** The nonce the buyer sent, hex. */
  nonce: z.string().regex(/^(?:[0-9a-f]{2}){1,512}$/),
  /** DER SubjectPublicKeyInfo of the response signing key, base64. Bound by the document's user_data. */
  publicKey: base64(16_384),
  /** When the buyer received the document. */
  fetchedAt: instant,
});

/** The list of models whose digest an attested measurement covers. */
export const manifestEvidence = z.strictObject({
  kind: z.literal("model.manifest"),
  /** The manifest bytes as received (JCS JSON `[{"name","sha256"}]`), base64. SHA-384 of them is measured (`PCR`). */
  manifest: base64(1_400_000),
});

/** The key of the response signatures, of a seller that gave no attestation. Nothing but a policy can make it known. */
const signingKeyEvidence = z.strictObject({
  kind: z.literal("signature.key"),
  /** DER SubjectPublicKeyInfo, base64. */
  publicKey: base64(16_384),
});

const evmLog = z.strictObject({ address, topics: z.array(hex0x(32)).max(4), data: hexData, logIndex: z.int().min(0) });

/** What the buyer saw on chain about the payment. */
export const settlementEvidence = z.strictObject({
  kind: z.literal("settlement.x402"),
  network,
  /** `settled`: the logs prove the transfer. `expired`: the authorization can no longer be used and was not. */
  outcome: z.enum(["settled", "expired"]),
  transaction: hex0x(32).optional(),
  blockNumber: baseUnits,
  blockHash: hex0x(32),
  /** Unix seconds of the block. */
  blockTime: z.int().min(0),
  /** Logs of the transaction emitted by the token, raw. */
  logs: z.array(evmLog).max(64),
  /** The contract called and its input, if only the transaction's call shows the authorization it used (Permit2). */
  to: address.optional(),
  input: hexData.optional(),
  /** The channel in the state of that block, where the payment is a voucher. */
  channel: z.strictObject({ balance: baseUnits, totalClaimed: baseUnits }).optional(),
  /**
   * The transfer is of several calls, by the buyer's own books: how many there were, the sum of their costs in the
   * seller's words (null where it told some of none), and this call's part of the transfer. Base units.
   */
  shared: z
    .strictObject({ calls: z.int().min(1).max(1000), reported: baseUnits.nullable(), part: baseUnits })
    .optional(),
  /**
   * The payer's signature of `core.payment.authorizationHash`, 65 bytes: r, s, and 27 or 28. It shows that the payer
   * agreed to these terms. Written here and not before: a reader could use it as long as it is valid.
   */
  signature: hex0x(65).optional(),
});

/**
 * A result's place in a batch whose root is on chain (reference: OpenGradient inference-facilitator, batch settlement).
 * Nothing in it is trusted: an appraisal recomputes the leaf, and compares contract and network with its own.
 */
export const inclusionEvidence = z.strictObject({
  kind: z.literal("inclusion.merkle"),
  /** The leaf's values, in the order in which they are encoded. */
  leaf: z.strictObject({
    teeId: hex0x(32),
    inputHash: hex0x(32),
    outputHash: hex0x(32),
    signature: hexData,
    /** Unix seconds. */
    timestamp: z.int().min(0).max(4_102_444_800),
  }),
  /** Siblings from the leaf up to the root. */
  path: z.array(hex0x(32)).max(32),
  root: hex0x(32),
  /** Leaves in the batch. */
  count: z.int().min(1).max(1_000_000),
  network,
  transaction: hex0x(32),
  blockNumber: baseUnits,
  blockHash: hex0x(32),
  /** Unix seconds of the block. */
  blockTime: z.int().min(0),
  /** The event that anchors the root, raw. Its address is the relay contract's. */
  log: evmLog,
});

/**
 * A contradiction found by a receipt's holder: the layer fails for every reader. It can take a verdict away and never
 * give one, so it needs no proof. It has a code and no words, since words in a file may be anybody's.
 */
export const contradictionEvidence = z.strictObject({
  kind: z.literal("contradiction"),
  layer: z.enum(LAYERS),
  code: z.string().regex(/^[a-z0-9_]{1,64}$/, "a code in snake case"),
});

/**
 * Of this kind files of the receipt tell more than one thing, so none of them counts by its word. It takes away what a file
 * tells and gives nothing, so it needs no proof either.
 */
const disputedEvidence = z.strictObject({ kind: z.literal("disputed"), of: z.enum(DISPUTABLE) });

const knownEvidence = z.discriminatedUnion("kind", [
  nitroEvidence,
  manifestEvidence,
  signingKeyEvidence,
  teeSignatureEvidence,
  gatewaySignatureEvidence,
  oysterSignatureEvidence,
  settlementEvidence,
  replayEvidence,
  inclusionEvidence,
  groth16Evidence,
  ezklEvidence,
  contradictionEvidence,
  disputedEvidence,
  transferEvidence,
  tlsEvidence,
  fallbackEvidence,
  registryEvidence,
]);

/** The kinds this version knows. */
export const KNOWN_KINDS: readonly string[] = knownEvidence.options.map((option) => option.shape.kind.value);

/** Evidence of a kind this version does not know: kept as it is. */
export const unknownEvidence = z
  .looseObject({
    kind: z
      .string()
      .min(1)
      .max(64)
      .refine((kind) => !KNOWN_KINDS.includes(kind), { error: "evidence of this kind has another shape", abort: true }),
  })
  .refine(isOpaque, "JSON at most 16 levels deep, without numbers or strings that have no exact form");

/** Evidence of a kind this version knows must have its exact shape; other kinds are kept and judged `unsupported`. */
export const evidenceSchema = z.union([knownEvidence, unknownEvidence]);

/** Evidence that arrived after delivery. */
export const laterSchema = z.strictObject({ at: instant, evidence: evidenceSchema });

/** `reported`: a file tells of the chain what this verifier has not read there itself. Only `pass` is a pass. */
export const STATUSES = ["pass", "fail", "skip", "pending", "reported", "unsupported"] as const;
export { ASSURANCES, VERDICTS };

/** One layer's outcome: a stable machine code and one sentence. */
export const layerResultSchema = z.strictObject({
  status: z.enum(STATUSES),
  code: z.string().max(64),
  note: z.string().max(400),
});

export const appraisalSchema = z.strictObject({
  at: instant,
  /** The time certificates and freshness were judged at. */
  evaluatedAt: instant,
  policyHash: hex(32),
  verifier: z.strictObject({ name: z.string().max(64), version: z.string().max(32) }),
  layers: z.strictObject(
    Object.fromEntries(LAYERS.map((l) => [l, layerResultSchema])) as Record<
      (typeof LAYERS)[number],
      typeof layerResultSchema
    >,
  ),
  /** What was asked for. */
  wanted: z.enum(ASSURANCES),
  assurance: z.enum(ASSURANCES),
  replayed: z.boolean(),
  simulated: z.boolean(),
  verdict: z.enum(VERDICTS),
  notProven: z.array(z.string().max(400)).max(32),
});

const logSchema = z.strictObject({
  seq: z.int().min(1),
  prev: hex(32),
  hash: hex(32),
});

/** The fixed part of a receipt, by its format (docs/architecture.md §5). */
export const coreSchemas = coreSchemasOf(evidenceSchema);

const receipt = {
  type: z.literal("proof402/receipt"),
  /** `p402_` + lower-case base32 (RFC 4648, no padding) of sha256(JCS(core)), bodies left out. */
  id: z.string().regex(/^p402_[a-z2-7]{52}$/),
  /** In files only, and there always: sha256(JCS(receipt)) without this field and without bodies, hex. */
  digest: hex(32).optional(),
  later: z.array(laterSchema).max(MAX_LATER + KEPT_FREE.pieces),
  appraisals: z.array(appraisalSchema).max(MAX_APPRAISALS + KEPT_FREE.appraisals),
  /** Place in the buyer's hash-chained log when the receipt was first written. Null before it was logged. */
  log: logSchema.nullable(),
};

/** A receipt, by its format. */
export const receiptSchemas = {
  1: z.strictObject({ ...receipt, version: z.literal(1), core: coreSchemas[1] }),
  2: z.strictObject({ ...receipt, version: z.literal(2), core: coreSchemas[2] }),
};

/** A receipt of either format. Receipts made now have the second one, which binds the payment's terms. */
export const receiptSchema = z.discriminatedUnion("version", [receiptSchemas[1], receiptSchemas[2]]);

type CoreOfFormat1 = z.infer<(typeof coreSchemas)[1]>;
/** A price as a seller lists it, base units. */
export type ListedPrice = z.infer<typeof listedPriceSchema>;
/** An offer as the policy accepted it. */
export type Offer = CoreOfFormat1["offer"];
/**
 * A payment. Its salt, and of a voucher the sum before it, are in format 2 always and in format 1 never. `share`: of an
 * authorization for several calls.
 */
export type Payment = CoreOfFormat1["payment"] & { salt?: Hex; previous?: string; share?: PaymentShare | undefined };
/** The fixed part of a receipt. It is of format 2 where its payment has a salt. */
export type ReceiptCore = Omit<CoreOfFormat1, "payment"> & { payment: Payment; listedPrice?: ListedPrice | null };
/** A receipt of either format (docs/architecture.md §5). What is stored or read is checked by {@link receiptSchema}. */
export type Receipt = Omit<z.infer<(typeof receiptSchemas)[1]>, "version" | "core"> & {
  version: 1 | 2;
  core: ReceiptCore;
};
export type Evidence = z.infer<typeof evidenceSchema>;
export type KnownEvidence = z.infer<typeof knownEvidence>;
export type NitroEvidence = z.infer<typeof nitroEvidence>;
export type InclusionEvidence = z.infer<typeof inclusionEvidence>;
export type ReplayEvidence = z.infer<typeof replayEvidence>;
export type ReplayedOutputs = z.infer<typeof replayedOutputs>;
export type Groth16Evidence = z.infer<typeof groth16Evidence>;
export type EzklEvidence = z.infer<typeof ezklEvidence>;
export type ContradictionEvidence = z.infer<typeof contradictionEvidence>;
export type SettlementEvidence = z.infer<typeof settlementEvidence>;
export type Appraisal = z.infer<typeof appraisalSchema>;
export type LayerResult = z.infer<typeof layerResultSchema>;
export type Layer = (typeof LAYERS)[number];
export type Status = (typeof STATUSES)[number];
export type Assurance = (typeof ASSURANCES)[number];
export type Verdict = (typeof VERDICTS)[number];
