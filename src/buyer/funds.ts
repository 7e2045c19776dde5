import { Proof402Error } from "../errors.ts";
import { METHODS, paymentMethodOf } from "../evidence/methods/methods.ts";
import { readHoldings } from "../payment/allowance.ts";
import { formatUnits } from "../chain/amounts.ts";
import type { Chain } from "../chain/chain.ts";
import { PAYERS } from "../payment/methods/methods.ts";
import type { Call } from "./call.ts";
import type { BuyerContext, Holdings } from "./context.ts";
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
async function lackingFor(ctx: BuyerContext, call: Call, { offer, asset }: Quote): Promise<Proof402Error | null> {
  const chain = ctx.chains.get(offer.network);
  const method = paymentMethodOf(offer);
  // What is claimed of a channel left the wallet when it was put in.
  if (chain === undefined || method === null || METHODS[method].claimed) return null;
  const byPermit = PAYERS[method].needsAllowance;
  const held = byPermit
    ? await readHoldings(chain, offer.asset, call.wallet.address)
    : await lookAt(ctx, chain, offer.asset, call.wallet.address, BigInt(offer.amount));
  if (held === null) return null;
  const units = (amount: bigint | string): string => `${formatUnits(amount, asset.decimals)} ${asset.symbol}`;
  // What a metered offer may cost at most need not be there: what it does cost is known only afterwards. Nothing pays none.
  const least = METHODS[method].metered ? 1n : BigInt(offer.amount);
  if (held.balance < least) {
    return new Proof402Error(
      "insufficient_funds",
      `The wallet holds ${units(held.balance)} on ${offer.network}; the offer asks ${units(offer.amount)}.`,
      {
        next: `Send ${asset.symbol} on ${offer.network} to ${call.wallet.address}, then call again.`,
        details: { holds: held.balance.toString(), asked: offer.amount },
      },
    );
  }
  if (!byPermit || held.allowance >= BigInt(offer.amount)) return null;
  const amount = formatUnits(offer.amount, asset.decimals);
  return new Proof402Error(
    "allowance_too_low",
    `The offer is paid through Permit2, which may move ${units(held.allowance)} of this wallet and would need ${amount}.`,
    {
      next: `The owner can allow it: proof402 wallet approve --asset ${asset.symbol} --amount ${amount} (or more, for further calls).`,
      details: { limit: held.allowance.toString(), asked: offer.amount },
    },
  );
}

/** The wallet's balance: from a moment ago if that sufficed, else as the chain says now, or null without an answer. */
async function lookAt(
  ctx: BuyerContext,
  chain: Chain,
  asset: string,
  owner: string,
  wanted: bigint,
): Promise<Holdings | null> {
  const key = `${chain.network} ${asset}`;
  const known = ctx.funds.get(key);
  if (known !== undefined && known.balance >= wanted && ctx.clock().getTime() - known.at < BELIEVED_MS) return known;
  const look = readHoldings(chain, asset, owner, { seconds: PATIENCE_MS / 1000 }).then((held) => {
    ctx.funds.set(key, { ...held, at: ctx.clock().getTime() });
    return held;
  });
  return withinPatience(look);
}

function withinPatience(look: Promise<Holdings>): Promise<Holdings | null> {
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
