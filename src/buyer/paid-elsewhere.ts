import { Proof402Error } from "../errors.ts";
import { readAttempts, readPurchase } from "../payment/journal.ts";
import { deriveNonce } from "../payment/plan.ts";
import { isUsed } from "../payment/settlement.ts";
import { findUse, type NonceUse } from "../payment/used-nonces.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { askChain, inDoubt } from "./ask-chain.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";
import { takeUp } from "./resume.ts";
import type { Turn } from "./turn.ts";

/**
 * Attempts with nonces looked up beyond this journal's: one for each earlier attempt that ran out or was turned down.
 */
const ATTEMPTS_AHEAD = 8;

/**
 * One key, one payment, in every database of the wallet (threat T44). All of them derive the same nonces from a key,
 * but a token knows only its own, and so does Permit2. Before anything new is signed, all of them are looked at, except
 * for the first attempt under a key that was drawn for this very call: an attempt here may have been released on an
 * RPC's word, or have moved since it was turned down. Chains are witnesses here: one that does not answer holds up no
 * payment.
 *
 * Null where none is used. Where this journal's own attempt is used, it is settled and the call is taken up again.
 * Throws Proof402Error `paid_elsewhere`, with `money`, where another's is, and `payment_in_doubt` where an own one may
 * be.
 */
export async function requireUnpaid(ctx: BuyerContext, call: Call, attempt: number): Promise<Turn | null> {
  const attempts = await readAttempts(ctx.db, call.key);
  if (ctx.chains.size === 0 || (call.drawn && attempts.length === 0)) return null;
  const canceled = attempts.filter(({ reason }) => reason === "authorization_canceled");
  const nonces = Array.from({ length: attempt + ATTEMPTS_AHEAD - 1 }, (_, index) =>
    deriveNonce(ctx.nonceSecret, call.key, index + 1),
  );
  const use = await findUse({
    chains: ctx.chains,
    assets: [...ctx.config.payment.assets, ...(ctx.config.payment.formerAssets ?? [])],
    payer: call.wallet.address,
    nonces: nonces.filter((nonce) => !canceled.some(({ payment }) => payment.nonce === nonce)),
  });
  if (use === null) return null;
  const own = attempts.find(({ payment }) => payment.nonce === use.nonce && payment.network === use.network);
  const turn = own === undefined ? null : await ofOwn(ctx, call, own);
  if (turn !== null) return turn;
  throw paidElsewhere(use);
}

/**
 * Settles an own attempt by its used nonce, in any state of the journal, and takes the call up again: another process may
 * have its answer by now. Null unless its authorization used the nonce.
 */
async function ofOwn(ctx: BuyerContext, call: Call, own: PurchaseRecord): Promise<Turn | null> {
  await askChain(ctx, own);
  const purchase = await readPurchase(ctx.db, own.id);
  if (purchase?.state === "settled") return takeUp(ctx, call);
  const chain = ctx.chains.get(own.payment.network);
  if (chain === undefined || (await isUsed(chain, own.payment).catch(() => true))) throw inDoubt();
  return null;
}

function paidElsewhere({ network, transaction, confirmed }: NonceUse): Proof402Error {
  return new Proof402Error(
    "paid_elsewhere",
    confirmed
      ? `This idempotency key was paid on ${network} in transaction ${transaction}, and this database knows of no payment by it.`
      : `An RPC of ${network} says that a payment authorization of this idempotency key is used${transaction === null ? "" : ` in transaction ${transaction}, which is not confirmed`}, and this database knows of no payment by it.`,
    {
      money: confirmed ? "moved" : "may-move",
      next: "Nothing more is signed under this key. Look for its receipt in the other database of this wallet; use a new key for another purchase only.",
      details: { network, transaction },
    },
  );
}
