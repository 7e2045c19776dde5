import { Proof402Error, type ErrorCode } from "../errors.ts";
import { evidenceOf } from "../evidence/methods/methods.ts";
import { isLaterShare } from "../evidence/payment-binding.ts";
import type { SellerListing } from "../market/catalog.ts";
import type { Candidate } from "../market/choose.ts";
import type { ListedModel } from "../market/types.ts";
import { markSettled, markShort, readAttempts } from "../payment/journal.ts";
import { readPaymentResponse } from "../payment/offers.ts";
import { isUsed } from "../payment/settlement.ts";
import { readRefusal } from "../payment/refusal-codes.ts";
import { mayFollow } from "../payment/reserve.ts";
import { findAsset } from "../payment/policy.ts";
import type { PurchaseRecord, Refusal } from "../payment/types.ts";
import { needsWord } from "./approve.ts";
import { lookAt } from "./ask-chain.ts";
import type { Call } from "./call.ts";
import { moneyOf } from "./money.ts";
import { noteCharged } from "./channel.ts";
import { lackNow } from "./funds.ts";
import { pollMilliseconds, type BuyerContext } from "./context.ts";
import type { Paying, Turn } from "./turn.ts";
import { quotesOf, type Quote } from "./quote.ts";
import { quoteKey } from "./quotes.ts";
import type { PaymentHeaders } from "../market/carriers/carrier.ts";
import { sendPayment, type Received } from "./send.ts";
import { afterShareRefusal } from "./share.ts";

/** How long a settlement that is under way is waited for before the seller is asked once more, ms. */
const SETTLING_MS = 15_000;

/** What a 402 to a paid request comes to: an answer after all, or another attempt. */
type AfterRefusal = { kind: "answered"; received: Received } | Extract<Turn, { kind: "pay" }>;

/**
 * What a 402 to a paid request means. By itself it says nothing of the money: the seller may have settled the payment, be
 * settling it, or mean to. Only the chain tells.
 *
 * - The payment is used, or under way: the same authorization is sent once more when it has settled.
 * - The known price was stale: a new authorization is made, if the fresh offer differs, the seller speaks of no settlement and
 *   the chain shows the first one unused. A dearer seller goes back to the choice, unless the caller named it.
 * - The payment is an earlier call's: that call may have asked a person about another one beside it, and their yes comes with
 *   this call. So one more is made on a person's word for its very offer, whichever is chosen, and without it none.
 * - Anything else leaves the call in doubt.
 *
 * Throws Proof402Error `payment_rejected`, `payment_in_doubt` or `paid_not_served`.
 */
export async function afterRefusal(
  ctx: BuyerContext,
  call: Call,
  paying: Paying,
  { received, headers }: { received: Received; headers: PaymentHeaders },
): Promise<AfterRefusal> {
  const { purchase } = paying;
  if (isLaterShare(purchase.payment)) return afterShareRefusal(ctx, paying);
  ctx.quotes.drop(quoteKey(paying.candidate.seller.provider, purchase.request));
  await noteCharged(ctx, purchase.payment, received);
  const said = readPaymentResponse(received.headers);
  const underWay = said?.transaction !== undefined || said?.pending === true || said?.success === true;
  const used = await usedOnChain(ctx, purchase);
  // A call on an authorization for several is sent once.
  if (purchase.payment.share !== undefined && (used === true || underWay)) throw inDoubt(paying, said?.transaction);
  if (used === true || (underWay && used !== false)) return askOnceMore(ctx, paying, headers, said?.transaction);
  if (underWay) {
    if (await settlesSoon(ctx, purchase)) return askOnceMore(ctx, paying, headers, said.transaction);
    throw inDoubt(paying, said.transaction);
  }
  const fresh = used === false ? await freshQuote(ctx, call, paying, received) : null;
  if (fresh === null) {
    const { offer } = purchase;
    const asset = findAsset(offer, ctx.config.payment.assets);
    const lack = asset === undefined ? null : await lackNow(ctx, call, { offer, asset }).catch(() => null);
    if (lack !== null) await markShort(ctx.db, purchase.id, ctx.clock());
    throw await rejected(ctx, call, paying, { received, lack });
  }
  const next = {
    kind: "pay" as const,
    attempt: purchase.attempt + 1,
    turnedDownBy: paying.candidate.seller.id,
    onWord: paying.quote === null,
  };
  if (call.request.seller === undefined && BigInt(fresh.quote.offer.amount) > BigInt(purchase.offer.amount)) {
    // It was chosen at the old price: at the new one another seller may be the cheapest.
    ctx.quotes.drop(quoteKey(paying.candidate.seller.provider, purchase.request));
    return { ...next, chosen: null };
  }
  return { ...next, chosen: { ...fresh, attested: paying.attested } };
}

/** The offer that takes a stale one's place, or null where the 402 makes none that may be paid beside the first. */
async function freshQuote(
  ctx: BuyerContext,
  call: Call,
  { candidate, purchase, quote }: Paying,
  received: Received,
): Promise<{ candidate: Candidate; quote: Quote } | null> {
  // Only a price that was known from before can have gone stale.
  if (quote?.cached === false) return null;
  // No person is asked for a payment that could not be made: a third one, or one after an answer.
  const next = { attempt: purchase.attempt + 1, payment: purchase.payment };
  if (!mayFollow(await readAttempts(ctx.db, call.key), next)) return null;
  const judge = async (of: Candidate): Promise<{ candidate: Candidate; quote: Quote } | null> => {
    const [fresh] = await quotesOf(ctx, call, of, purchase.request, received);
    const differs = evidenceOf(purchase.payment).claimed || fresh.offer.offerHash !== purchase.offer.offerHash;
    if (!differs || (quote === null && !(await needsWord(ctx, call, fresh)))) return null;
    return { candidate: of, quote: fresh };
  };
  return judge(candidate)
    .catch(async (error: unknown) => {
      if (!Proof402Error.isInstance(error) || error.code !== "over_listed_price") return null;
      // The seller may have raised the price that it lists, too.
      const modelIn = (listings: readonly SellerListing[]): ListedModel | undefined =>
        listings
          .find(({ seller }) => seller.id === candidate.seller.id)
          ?.models.find(({ name }) => name === candidate.model.name);
      const asked = { refresh: true, seller: candidate.seller.id, model: candidate.model.name };
      const enough = (known: readonly SellerListing[]): boolean => modelIn(known) !== undefined;
      const model = modelIn(await ctx.catalog.listings({ ...asked, enough }));
      return model === undefined ? null : judge({ seller: candidate.seller, model });
    })
    .catch(() => null);
}

/** Whether the chain shows the authorization used, settled deep enough or not; null where that cannot be known. */
async function usedOnChain(ctx: BuyerContext, { payment }: PurchaseRecord): Promise<boolean | null> {
  const chain = ctx.chains.get(payment.network);
  if (chain === undefined) return null;
  // Used by no transaction of its own: the next one over the same sum takes its place.
  if (evidenceOf(payment).claimed) return false;
  return isUsed(chain, payment).catch(() => null);
}

/** Waits a bounded time for the settlement that the seller speaks of; false where none is seen. */
async function settlesSoon(ctx: BuyerContext, purchase: PurchaseRecord): Promise<boolean> {
  const deadline = performance.now() + SETTLING_MS;
  for (;;) {
    if ((await usedOnChain(ctx, purchase)) === true) return true;
    const left = deadline - performance.now();
    if (left <= 0) return false;
    await new Promise((resolve) => setTimeout(resolve, Math.min(left, pollMilliseconds(ctx.config))));
  }
}

/** The payment is used up and can move nothing more: the same request gets its answer from a seller that keeps its word. */
async function askOnceMore(
  ctx: BuyerContext,
  paying: Paying,
  headers: PaymentHeaders,
  hint: string | undefined,
): Promise<AfterRefusal> {
  const again = await sendPayment(ctx, paying, headers).catch(() => null);
  if (again !== null && again.status !== 402) return { kind: "answered", received: again };
  const seen = await settleIfSeen(ctx, paying.purchase, hint);
  throw seen === null ? inDoubt(paying, hint) : notServed(paying.candidate.seller.id, seen.transaction);
}

/** Notes a settlement that is deep enough in the chain; returns it, or null. */
async function settleIfSeen(
  ctx: BuyerContext,
  purchase: PurchaseRecord,
  hint: string | undefined,
): Promise<{ transaction: string | null } | null> {
  const seen = await lookAt(ctx, purchase, hint);
  if (seen.state !== "settled") return null;
  const { transaction, amount, fault } = seen;
  await markSettled(ctx.db, purchase.id, { transaction, amount, reason: fault, now: ctx.clock() });
  return { transaction };
}

/** Errors of a seller that the configuration forbids to ask: the seller itself has refused nothing. */
const FORBIDDEN: readonly ErrorCode[] = ["resend_not_allowed", "seller_not_found"];

/** The seller took the payment and keeps the answer, or is not asked for it. */
export const notServed = (sellerId: string, transaction: string | null, cause?: Proof402Error): Proof402Error =>
  new Proof402Error("paid_not_served", `Seller "${sellerId}" was paid on chain and has not served.`, {
    next:
      cause?.code === "payment_in_doubt"
        ? "The payment settled, and the answer is not asked for again: the seller may count each sending. Complain to the seller with the transaction, or buy elsewhere under a new key."
        : cause !== undefined && FORBIDDEN.includes(cause.code)
          ? `The payment settled, and the answer is not asked for. ${cause.message} Once the owner allows it again, a call with the same idempotency key asks the seller for the answer and pays nothing more.`
          : "Nothing more is paid under this key; calling again asks the seller once more. Else complain to the seller with the transaction, or buy elsewhere under a new key.",
    details: { transaction, ...(cause === undefined ? {} : { reason: cause.code }) },
    cause,
  });

const inDoubt = ({ candidate }: Paying, transaction: string | undefined): Proof402Error =>
  new Proof402Error(
    "payment_in_doubt",
    `Seller "${candidate.seller.id}" says the payment is under way; the chain does not show it settled yet.`,
    {
      next: "Call again with the same idempotency key in a minute: nothing is paid twice.",
      details: { transaction: transaction ?? null },
    },
  );

async function rejected(
  ctx: BuyerContext,
  call: Call,
  { candidate }: Paying,
  { received: { status, headers, body }, lack }: { received: Received; lack: Refusal | null },
): Promise<Proof402Error> {
  const said = readPaymentResponse(headers);
  const why = readRefusal(headers, body);
  const refused = `Seller "${candidate.seller.id}" turned the payment down (402).`;
  const message = [refused, why?.message, lack?.message].filter((one) => one !== undefined).join(" ");
  const next = await nextAfter(ctx, call.key);
  return new Proof402Error("payment_rejected", message, {
    next: [lack?.next ?? why?.advice, next].filter((one) => one !== undefined).join(" "),
    details: {
      status,
      sellerSaysSettled: said?.success ?? null,
      reason: why?.code ?? null,
      x402Code: why?.x402Code ?? null,
      ...(lack === null ? {} : { lack: lack.code }),
    },
  });
}

/**
 * The next step after a refusal, by the journal: a voucher is released if the seller shows its sum to be counted already. Nothing
 * is reserved for the call then, and no key is told.
 */
const nextAfter = async (ctx: BuyerContext, key: string): Promise<string> =>
  moneyOf(await readAttempts(ctx.db, key)) === "not-moved"
    ? "Nothing stays reserved for the payment, which can move no money any more. Call again to make another one, or choose another seller."
    : "The signed amount stays reserved until the authorization is used or expires; `spending` shows it. Call again with the same key to offer the same payment again, or choose another seller under a new key.";

/** The seller turned a payment down, and no other may be made beside it. Throws what the database throws. */
export const askedTooMuch = async (
  ctx: BuyerContext,
  call: Call,
  sellerId: string,
  reason: string,
): Promise<Proof402Error> =>
  new Proof402Error(
    "payment_rejected",
    `Seller "${sellerId}" turned the payment down (402), and none that the call may make beside it is on offer.`,
    { next: await nextAfter(ctx, call.key), details: { reason } },
  );
