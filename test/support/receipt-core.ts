import type { DecisionContent } from "../../src/receipts/decision-schema.ts";
import { keccak256, sha256, toBase64, toHex, utf8, type Hex } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { termsHash } from "../../src/evidence/payment-binding.ts";
import { ASSURANCES, LAYERS, type Appraisal, type Evidence, type ReceiptCore } from "../../src/receipts/schema.ts";

/** Body text and hashes of exact bytes, as a core holds them. */
export const hashed = (bytes: Uint8Array): { sha256: string; keccak256: string; body: string } => ({
  sha256: toHex(sha256(bytes)),
  keccak256: toHex(keccak256(bytes)),
  body: toBase64(bytes),
});

const hex = (seed: string, bytes: number): string => toHex(sha256(utf8(seed))).slice(0, bytes * 2);
const hex0x = (seed: string, bytes: number): Hex => `0x${hex(seed, bytes)}`;

/** The same in format 2, whose request carries the hash of the payment's terms. */
export function boundCore(seed = "one", changes: Partial<ReceiptCore> = {}): ReceiptCore {
  const core = receiptCore(seed);
  const { network, asset, amount } = core.offer;
  const listedPrice = { network, asset, amount };
  const payment = { ...core.payment, salt: hex0x(`${seed} salt`, 32) };
  const nonce = termsHash({ offer: core.offer, listedPrice, payment });
  const request = { ...core.request, nonce, ...hashed(utf8(JSON.stringify({ id: nonce, inputs: [] }))) };
  return { ...core, request, payment, listedPrice, ...changes };
}

/** A well-formed core of format 1 whose evidence proves nothing. Another `seed` gives another purchase. */
export function receiptCore(seed = "one", changes: Partial<ReceiptCore> = {}): ReceiptCore {
  const nonce = hex(`${seed} request`, 16);
  const offer = {
    scheme: "exact",
    network: "eip155:31337",
    asset: hex0x("asset", 20),
    decimals: 6,
    amount: "70000",
    payTo: hex0x("seller", 20),
    maxTimeoutSeconds: 300,
    extra: { name: "USD Coin", version: "2" },
  };
  return {
    seller: { id: "risk-desk", provider: "oip", origin: "http://127.0.0.1:4021", keyId: hex0x("key", 32) },
    request: {
      method: "POST",
      path: "/v2/models/credit-risk/infer",
      model: "credit-risk",
      nonce,
      sentAt: "2026-11-01T12:00:00.000Z",
      ...hashed(utf8(JSON.stringify({ id: nonce, inputs: [] }))),
    },
    response: {
      status: 200,
      receivedAt: "2026-11-01T12:00:00.250Z",
      ...hashed(utf8(JSON.stringify({ model_name: "credit-risk", id: nonce, outputs: [0.125] }))),
    },
    offer: { ...offer, offerHash: toHex(canonicalSha256(offer)) },
    payment: {
      scheme: "exact",
      method: "eip3009",
      network: offer.network,
      asset: offer.asset,
      amount: offer.amount,
      payer: hex0x("payer", 20),
      payTo: offer.payTo,
      nonce: hex0x(`${seed} payment`, 32),
      validAfter: 0,
      validBefore: 1_793_448_300,
      authorizationHash: hex0x(`${seed} authorization`, 32),
    },
    evidence: [
      {
        kind: "signature.tee",
        teeId: hex0x("key", 32),
        requestHash: hex("claimed request", 32),
        outputHash: hex("claimed answer", 32),
        timestamp: 1_793_448_000,
        signature: toBase64(sha256(utf8("no signature"))),
      },
      { kind: "zk.of-tomorrow", proof: { points: ["1", "2"], curve: "bn254" } },
    ],
    ...changes,
  };
}

/** Well-formed settlement evidence of a transfer that never was. */
export const settlement = (seed = "one"): Evidence => ({
  kind: "settlement.x402",
  network: "eip155:31337",
  outcome: "settled",
  transaction: hex0x(`${seed} transaction`, 32),
  blockNumber: "12",
  blockHash: hex0x(`${seed} block`, 32),
  blockTime: 1_793_448_010,
  logs: [{ address: hex0x("asset", 20), topics: [hex0x("topic", 32)], data: "0x", logIndex: 0 }],
});

/** A well-formed appraisal that skipped everything. */
export const appraisal = (changes: Partial<Appraisal> = {}): Appraisal => ({
  at: "2026-11-01T12:00:00.300Z",
  evaluatedAt: "2026-11-01T12:00:00.300Z",
  policyHash: hex("policy", 32),
  verifier: { name: "proof402", version: "0.1.0" },
  layers: Object.fromEntries(
    LAYERS.map((layer) => [layer, { status: "skip", code: "not_checked", note: "Not checked." }]),
  ) as Appraisal["layers"],
  wanted: ASSURANCES[2],
  assurance: "none",
  replayed: false,
  simulated: true,
  verdict: "unverified",
  notProven: ["Anything."],
  ...changes,
});

/** A well-formed decision on one receipt, without its id. */
export const decisionContent = (receipt: string, at: Date, seed = receipt): DecisionContent => ({
  type: "proof402/decision",
  version: 1,
  at: at.toISOString(),
  purpose: "payroll",
  subject: "line 1",
  receipts: [
    {
      id: receipt,
      verdict: "verified",
      assurance: "attested",
      wanted: "attested",
      simulated: true,
      policyHash: hex("policy", 32),
      judged: hex("judged", 32),
    },
  ],
  action: { do: "pay" },
  outcome: "approved",
  by: { program: "a test", person: null, second: null },
  salt: hex(`${seed} salt`, 16),
});
