import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import { lowered, type Address } from "../../src/evidence/bytes.ts";
import type { Offer } from "../../src/receipts/schema.ts";
import type { ReserveRequest } from "../../src/payment/reserve.ts";
import { chooseOffer, readOffers, type AcceptedOffer } from "../../src/payment/offers.ts";
import { deriveNonce, planPayment } from "../../src/payment/plan.ts";
import { paymentPolicySchema, type AssetPolicy, type PaymentPolicy } from "../../src/payment/policy.ts";
import type { WireRequest } from "../../src/payment/types.ts";

export const NETWORK = "eip155:31337";
/** EIP-55 case, as sellers write it. */
export const USDC: Address = "0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48";
export const PAYEE: Address = "0xdAC17F958D2ee523a2206206994597C13D831ec7";
export const PAYER: Address = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266";
/** The terms of a channel between them, and who it is between. */
export const CHANNEL_TERMS = {
  payerAuthorizer: PAYER,
  receiverAuthorizer: PAYER,
  withdrawDelay: 900,
  salt: `0x${"05".repeat(32)}`,
} as const;
export const CHANNEL_PARTIES = { payer: PAYER, receiver: lowered(PAYEE) };
export const SECRET = "11".repeat(32);

export const usdc: AssetPolicy = {
  network: NETWORK,
  asset: lowered(USDC),
  symbol: "USDC",
  decimals: 6,
  usdStable: true,
  domain: { name: "USD Coin", version: "2" },
  methods: ["eip3009"],
  perCall: "100000",
  perHour: "1000000",
  perDay: "5000000",
  total: "20000000",
};

export const policyWith = (assets: AssetPolicy[] = [usdc], rest: Partial<PaymentPolicy> = {}): PaymentPolicy =>
  paymentPolicySchema.parse({ assets, ...rest });

/** One entry of `accepts` as an honest seller writes it. */
export const requirement = (changes: Record<string, unknown> = {}): Record<string, unknown> => ({
  scheme: "exact",
  network: NETWORK,
  amount: "20000",
  asset: USDC,
  payTo: PAYEE,
  maxTimeoutSeconds: 60,
  extra: { name: "USD Coin", version: "2" },
  ...changes,
});

export const choose = (
  accepts: Record<string, unknown>[],
  options: { policy?: PaymentPolicy; maxUsd?: number } = {},
): ReturnType<typeof chooseOffer> => {
  const read = readOffers({ x402Version: 2, accepts });
  if (!read.ok) return { ok: false, refusals: [read.refusal] };
  return chooseOffer({
    policy: options.policy ?? policyWith(),
    payTo: [lowered(PAYEE)],
    required: read.required,
    ...(options.maxUsd === undefined ? {} : { maxUsd: options.maxUsd }),
  });
};

export function accept(changes: Record<string, unknown> = {}, policy: PaymentPolicy = policyWith()): AcceptedOffer {
  const chosen = choose([requirement(changes)], { policy });
  if (!chosen.ok) throw new Error(`refused: ${JSON.stringify(chosen.refusals)}`);
  return chosen.offers[0];
}

const wire: WireRequest = {
  method: "POST",
  url: "http://127.0.0.1:9/v2/models/m/infer",
  path: "/v2/models/m/infer",
  headers: { "content-type": "application/json" },
  body: "e30=",
  nonce: "00".repeat(16),
};

/** A reservation as the purchase flow asks for it. */
export function reservation(
  changes: {
    key?: string;
    attempt?: number;
    now?: Date;
    policy?: PaymentPolicy;
    argsDigest?: string;
    offer?: Offer;
    accepted?: Record<string, unknown>;
    payer?: Address;
    secret?: string;
    maxAmount?: bigint;
  } = {},
): ReserveRequest {
  const policy = changes.policy ?? policyWith();
  const fallback = changes.offer === undefined ? accept({}, policy) : null;
  const offer = changes.offer ?? fallback?.offer;
  if (offer === undefined) throw new Error("no offer");
  const idempotencyKey = changes.key ?? randomUUID();
  const attempt = changes.attempt ?? 1;
  const now = changes.now ?? new Date();
  return {
    policy,
    now,
    idempotencyKey,
    attempt,
    argsDigest: changes.argsDigest ?? "aa".repeat(32),
    sellerId: "seller",
    model: "m",
    offer,
    accepted: changes.accepted ?? fallback?.accepted ?? requirement(),
    payment: planPayment({
      offer,
      payer: changes.payer ?? PAYER,
      nonce: deriveNonce(changes.secret ?? SECRET, idempotencyKey, attempt),
      now,
      policy,
    }),
    request: wire,
    ...(changes.maxAmount === undefined ? {} : { maxAmount: changes.maxAmount }),
  };
}

/** An empty directory that is gone after the test. */
export function temporaryDirectory(): string {
  const path = mkdtempSync(join(tmpdir(), "proof402-"));
  onTestFinished(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
