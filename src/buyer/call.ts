import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";
import type { Refusal } from "../payment/types.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Assurance } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";
import type { BuyOptions, BuyRequest } from "./types.ts";

/** One call's fixed inputs, handed down the flow. */
export type Call = {
  request: BuyRequest;
  options: BuyOptions;
  assurance: Assurance;
  wallet: Wallet;
  /** sha256 of what was asked: an idempotency key names one call and no other. */
  argsDigest: string;
  /** Reports a step with the time since the call began. */
  progress: (step: Parameters<NonNullable<BuyOptions["onProgress"]>>[0]["step"], message: string) => void;
};

/** Checks what a caller gave before anything is asked of a seller. Throws Proof402Error. */
export function openCall(ctx: BuyerContext, request: BuyRequest, options: BuyOptions): Call {
  if (ctx.wallet === null) {
    throw new Proof402Error("wallet_missing", "No wallet is configured, so nothing can be bought.", {
      next: "Set PROOF402_PRIVATE_KEY, or wallet.privateKeyFile or wallet.keystoreFile in the configuration.",
    });
  }
  if (!/^[\x21-\x7e]{8,128}$/.test(request.idempotencyKey)) {
    throw new Proof402Error(
      "invalid_input",
      "idempotency_key must be 8 to 128 printable ASCII characters without spaces.",
      {
        next: "Leave it out or give a longer one.",
      },
    );
  }
  const { model, input, seller, assurance, maxUsd } = request;
  const began = performance.now();
  return {
    request,
    options,
    wallet: ctx.wallet,
    assurance: assurance ?? ctx.config.verification.assurance,
    argsDigest: toHex(
      digestOf({ model, input, seller: seller ?? null, assurance: assurance ?? null, maxUsd: maxUsd ?? null }),
    ),
    progress: (step, message) => options.onProgress?.({ step, message, ms: performance.now() - began }),
  };
}

function digestOf(value: unknown): Uint8Array {
  try {
    return canonicalSha256(value);
  } catch {
    throw new Proof402Error("invalid_input", "The input is not plain JSON data.", {
      next: "Give finite numbers, strings, booleans and arrays only.",
    });
  }
}

/** A policy refusal as an error: nothing was signed. */
export const refused = (refusal: Refusal): Proof402Error =>
  new Proof402Error(refusal.code, refusal.message, {
    next: "The owner's payment policy forbids this; choose a cheaper seller or ask the owner to change the policy.",
    details: { limit: refusal.limit, asked: refusal.asked, remaining: refusal.remaining },
  });
