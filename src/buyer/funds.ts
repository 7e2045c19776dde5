import { Proof402Error } from "../errors.ts";
import { METHODS, paymentMethodOf } from "../evidence/methods/methods.ts";
import type { LookLimits } from "../chain/chain.ts";
import { answersInTime } from "../payment/before-paying.ts";
import { lackOf, openBeside, readFunds, type Funds, type Spend } from "../payment/funds.ts";
import { PAYERS } from "../payment/methods/methods.ts";
import type { PurchaseRecord, Refusal } from "../payment/types.ts";
import { refused, type Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import type { Quote, Quotes } from "./quote.ts";

/** How long a balance that sufficed is believed, ms: an emptied wallet costs a seller some work, and no one money. */
const BELIEVED_MS = 15_000;
/** Longest wait for the chain before a payment goes out without the look, ms. */
const PATIENCE_MS = 2000;

/**
 * The first of the quotes that the wallet can pay. One that the chain could only turn down is named before anything is
 * signed: the wallet holds too little, or Permit2 may move too little of it. A chain that does not answer in time holds up no
 * payment by EIP-3009.
 *
 * Throws Proof402Error `insufficient_funds` or `allowance_too_low`, and for Permit2 the chain's own; it names each balance
 * that is short.
 */
export async function firstFunded(ctx: BuyerContext, call: Call, quotes: Quotes): Promise<Quote> {
  const short = new Map<string, Proof402Error>();
  for (const quote of quotes) {
    // A chain that cannot say what Permit2 may move stands in the way of that method only.
    const lacking = await lackingFor(ctx, call, quote).catch((error: unknown) => {
      if (Proof402Error.isInstance(error)) return error;
      throw error;
    });
    if (lacking === null) return quote;
    short.set(lacking.message, lacking);
  }
  const [first, ...others] = short.values();
  if (first === undefined) throw new Error("unreachable: there is a quote");
  if (others.length === 0) throw first;
  const all = [first, ...others];
  throw new Proof402Error(first.code, all.map(({ message }) => message).join(" "), {
    next: `One of these is enough: ${all.map(({ next }) => next).join(" ")}`,
    details: { ...first.details, short: all.map(({ code, details }) => ({ code, ...details })) },
  });
}

/** What the wallet lacks for an offer, as an error, or null. */
async function lackingFor(ctx: BuyerContext, call: Call, quote: Quote): Promise<Proof402Error | null> {
  const by = paymentMethodOf(quote.offer);
  // What Permit2 may move is read for each choice: its owner can change it at any time.
  const lack = await lackNow(ctx, call, quote, by !== null && PAYERS[by].needsAllowance ? 0 : BELIEVED_MS);
  return lack === null ? null : refused(lack);
}

/** What the wallet lacks for an offer beside its other open payments; null also where the chain does not say. */
export async function lackNow(
  ctx: BuyerContext,
  call: Call,
  quote: Pick<Quote, "offer" | "asset">,
  believedMs: number = 0,
): Promise<Refusal | null> {
  const spend = spendOf(call, quote);
  const funds = spend === null ? null : await fundsFor(ctx, call, quote, believedMs);
  return spend === null || funds === null ? null : lackOf(ctx.db, spend, quote.asset, funds);
}

/** What an offer would take of the wallet's funds; null for one by voucher: its money is in a channel. */
function spendOf({ key, wallet }: Call, { offer }: Pick<Quote, "offer">): Spend | null {
  const by = paymentMethodOf(offer);
  return by === null || METHODS[by].claimed ? null : { ...offer, idempotencyKey: key, payer: wallet.address, by };
}

/**
 * The wallet's funds for an offer: from a moment ago if they sufficed, else as the chain says now. A settlement unknown to
 * the journal is not counted twice: short funds are looked at again with each open payment's own state.
 * Null without an answer, and for an offer by voucher.
 */
export async function fundsFor(
  ctx: BuyerContext,
  call: Call,
  quote: Pick<Quote, "offer" | "asset">,
  believedMs: number = BELIEVED_MS,
): Promise<Funds | null> {
  const spend = spendOf(call, quote);
  const chain = ctx.chains.get(quote.offer.network);
  if (spend === null || chain === undefined) return null;
  const byPermit = PAYERS[spend.by].needsAllowance;
  // A chain that was silent a moment ago is not waited for again.
  if (!byPermit && !(await answersInTime(chain))) return null;
  const key = `${chain.network} ${spend.asset}`;
  const suffice = async (funds: Funds): Promise<boolean> => (await lackOf(ctx.db, spend, quote.asset, funds)) === null;
  const known = ctx.funds.get(key);
  if (known !== undefined && ctx.clock().getTime() - known.at < believedMs && (await suffice(known))) return known;
  const look = async (open: readonly PurchaseRecord[]): Promise<Funds | null> => {
    const read = (limits: LookLimits): Promise<Funds> =>
      readFunds(chain, spend, { ...limits, now: ctx.clock(), open }).then((funds) => {
        ctx.funds.set(key, funds);
        return funds;
      });
    return byPermit ? read({}) : withinPatience(read({ seconds: PATIENCE_MS / 1000 }));
  };
  const seen = await look([]);
  if (seen === null || (await suffice(seen))) return seen;
  const open = await openBeside(ctx.db, spend);
  return open.length === 0 ? seen : ((await look(open)) ?? seen);
}

function withinPatience(look: Promise<Funds>): Promise<Funds | null> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(null), PATIENCE_MS);
    timer.unref();
    look
      .catch(() => null)
      .then((held) => {
        clearTimeout(timer);
        resolve(held);
      })
      .catch(() => undefined);
  });
}
