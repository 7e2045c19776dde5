import { beforePaying } from "../payment/before-paying.ts";
import { clocksDisagree } from "../payment/clocks.ts";
import { deriveNonce, deriveSalt, planPayment } from "../payment/plan.ts";
import { keptOf } from "../payment/shared.ts";
import type { Payment } from "../receipts/schema.ts";
import type { Call } from "./call.ts";
import { withVoucher } from "./channel.ts";
import type { Chosen } from "./choose.ts";
import type { BuyerContext } from "./context.ts";
import { sharingFor } from "./sharing.ts";

/**
 * The time of the offer's chain, unix seconds, where it is known. Throws Proof402Error `wrong_chain` or `asset_mismatch`, and
 * `clock_disagrees` if its and this machine's time differ by more than verification allows: the settlement of such a
 * payment would fail.
 */
export async function chainTimeOf(
  ctx: BuyerContext,
  { quote: { offer, asset }, attested }: Pick<Chosen, "quote" | "attested">,
): Promise<number | undefined> {
  const chain = ctx.chains.get(offer.network);
  if (chain === undefined) return undefined;
  const chainTime = await beforePaying({ db: ctx.db, chain, asset, now: ctx.clock() });
  const { clockSkewSeconds } = ctx.config.verification;
  const ours = Math.floor(ctx.clock().getTime() / 1000);
  if (chainTime === undefined || Math.abs(ours - chainTime) <= clockSkewSeconds) return chainTime;
  const consequence = `the settlement would count as too early or too late, as at most ${clockSkewSeconds} s are allowed`;
  throw clocksDisagree(ours, chainTime, consequence, { seconded: attested.keyId !== null });
}

/**
 * Step 5: plans the payment of one attempt and runs work with it, while no other call draws on its channel, if it is out of
 * one. Throws Proof402Error `channel_missing`.
 */
export async function withPlan<T>(
  ctx: BuyerContext,
  call: Call,
  { candidate, quote: { offer } }: Chosen,
  { attempt, chainTime }: { attempt: number; chainTime: number | undefined },
  work: (payment: Payment) => Promise<T>,
): Promise<T> {
  const salt = deriveSalt(ctx.nonceSecret, call.key, attempt);
  const done = await withVoucher(ctx, call, candidate, offer, async (voucher) => ({
    result: await work({ ...voucher, salt }),
  }));
  if (done !== null) return done.result;
  const nonce = deriveNonce(ctx.nonceSecret, call.key, attempt);
  const { address: payer } = call.wallet;
  const { payment: policy } = ctx.config;
  const sharing = sharingFor(candidate, offer);
  const share = sharing === null ? {} : { share: { first: true, kept: keptOf(offer.amount, sharing) } };
  const payment = planPayment({ offer, payer, nonce, now: ctx.clock(), policy, chainTime });
  return work({ ...payment, salt, ...share });
}
