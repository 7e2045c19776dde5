import { Proof402Error } from "../errors.ts";
import type { Candidate } from "../market/choose.ts";
import type { Seller } from "../market/types.ts";
import { readLatestAttempt, release } from "../payment/journal.ts";
import { observeSettlement } from "../payment/settlement.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { readReceipt } from "../receipts/store.ts";
import { answerOf } from "./answer.ts";
import { attestSeller } from "./attest.ts";
import { idOf } from "../payment/channels.ts";
import { holdingChannel } from "./channel.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { payAndReceive } from "./pay.ts";
import type { BuyResult } from "./types.ts";

/** Time left below which an authorization is not sent again, seconds: the facilitator wants six. */
const RESEND_MARGIN_SECONDS = 10;

/** What a call's journal entry allows: its stored or resent result, or a (further) attempt. */
export type Resumed = { kind: "result"; result: BuyResult } | { kind: "attempt"; attempt: number };

/**
 * One key, one payment (DESIGN §6.5): looks up what became of this logical call before.
 * Throws Proof402Error `idempotency_conflict`, `paid_not_served` or `payment_in_doubt`.
 */
export async function resume(ctx: BuyerContext, call: Call): Promise<Resumed> {
  const purchase = await readLatestAttempt(ctx.db, call.request.idempotencyKey);
  if (purchase === null) return { kind: "attempt", attempt: 1 };
  if (purchase.argsDigest !== call.argsDigest) {
    throw new Proof402Error("idempotency_conflict", "This idempotency key was used for another call.", {
      next: "Use a new key for a new call.",
    });
  }
  if (purchase.receiptId !== null) return { kind: "result", result: await answeredBefore(ctx, purchase) };
  if (purchase.state === "released") return { kind: "attempt", attempt: purchase.attempt + 1 };
  if (purchase.state === "settled") return askAgain(ctx, call, purchase, purchase.transaction);
  if (purchase.payment.validBefore - ctx.clock().getTime() / 1000 > RESEND_MARGIN_SECONDS)
    return resend(ctx, call, purchase);
  return afterExpiry(ctx, call, purchase);
}

async function answeredBefore(ctx: BuyerContext, purchase: PurchaseRecord): Promise<BuyResult> {
  const receipt = await readReceipt(ctx.db, purchase.receiptId ?? "");
  if (receipt === null) throw new Error(`journal names receipt ${purchase.receiptId} that is not stored`);
  return { answer: answerOf(ctx, receipt), receipt, appraisal: newestAppraisal(receipt), paidNow: false };
}

async function resend(ctx: BuyerContext, call: Call, purchase: PurchaseRecord): Promise<Resumed> {
  const candidate = await candidateOf(ctx, purchase);
  const attested = await attestSeller(ctx, candidate, call.assurance, call.options.signal);
  const again = (): ReturnType<typeof payAndReceive> =>
    payAndReceive(ctx, call, { candidate, attested, purchase, quoteWasCached: false });
  const { payment } = purchase;
  const outcome = await (payment.method === "voucher" ? holdingChannel(ctx, call, idOf(payment), again) : again());
  if (outcome.kind !== "delivered") throw new Error("unreachable: a resend never earns a fresh quote");
  return { kind: "result", result: outcome.result };
}

/** The authorization can no longer be redeemed: only the chain knows whether it was. */
async function afterExpiry(ctx: BuyerContext, call: Call, purchase: PurchaseRecord): Promise<Resumed> {
  const chain = ctx.chains.get(purchase.payment.network);
  const seen =
    chain === undefined ? { state: "pending" as const } : await observeSettlement(chain, purchase.payment, {});
  if (seen.state === "expired") {
    await release(ctx.db, purchase.id, { reason: "authorization_expired", unusable: true, now: ctx.clock() });
    return { kind: "attempt", attempt: purchase.attempt + 1 };
  }
  if (seen.state === "settled") return askAgain(ctx, call, purchase, seen.transaction);
  throw new Proof402Error(
    "payment_in_doubt",
    "The chain cannot say yet whether this call's earlier authorization was used.",
    {
      money: "may-move",
      next: "Call again with the same idempotency key in a minute.",
    },
  );
}

/**
 * The payment moved and its answer was lost: on the way, or with a process that died. The same request with the same
 * authorization, which is used up and can move nothing more, gets it from a seller that keeps answers for their payers.
 */
async function askAgain(
  ctx: BuyerContext,
  call: Call,
  purchase: PurchaseRecord,
  transaction: string | null,
): Promise<Resumed> {
  try {
    return await resend(ctx, call, purchase);
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    throw new Proof402Error("paid_not_served", "This call was paid on chain earlier, but its answer never arrived.", {
      money: "moved",
      next: "Nothing more is paid under this key; calling again asks the seller once more. Else complain to the seller with the transaction, or buy again under a new key.",
      details: { transaction, reason: error.code },
      cause: error,
    });
  }
}

async function candidateOf(ctx: BuyerContext, purchase: PurchaseRecord): Promise<Candidate> {
  const seller = sellerOf(ctx, purchase);
  const listing = (await ctx.catalog.listings()).find((l) => l.seller.id === seller.id);
  const model = listing?.models.find((m) => m.name === purchase.model);
  if (model !== undefined) return { seller, model };
  throw new Proof402Error("seller_unreachable", `Seller "${seller.id}" of this earlier call cannot be asked now.`, {
    money: "may-move",
    next: "Call again with the same idempotency key later.",
  });
}

function sellerOf(ctx: BuyerContext, purchase: PurchaseRecord): Seller {
  const seller = ctx.config.sellers.find((s) => s.id === purchase.sellerId);
  if (seller !== undefined) return seller;
  throw new Proof402Error(
    "seller_not_found",
    `Seller "${purchase.sellerId}" of this earlier call is no longer configured.`,
    {
      money: purchase.receiptId === null ? "may-move" : "moved",
      next: "Put the seller back into the configuration, or use a new idempotency key.",
      details: { receiptId: purchase.receiptId },
    },
  );
}
