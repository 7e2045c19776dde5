import { Proof402Error } from "../errors.ts";
import { readAttempts } from "../payment/journal.ts";
import { deriveNonce } from "../payment/plan.ts";
import { findUse } from "../payment/used-nonces.ts";
import type { Call } from "./call.ts";
import type { BuyerContext } from "./context.ts";

/** Attempts whose nonces are looked up beyond those of this journal: each takes one that ran out or was turned down before it. */
const ATTEMPTS_AHEAD = 8;

/**
 * One key, one payment, in whatever database of the wallet (threat T44): all of them make the same nonces of a key, but a
 * token knows only its own, and so does Permit2. Before anything new is signed under a key that another database may have been
 * given, all of them are looked at. Chains are witnesses here: one that does not answer holds up no payment.
 *
 * Throws Proof402Error `paid_elsewhere`, with `money`, where a nonce of the key is used.
 */
export async function requireUnpaid(ctx: BuyerContext, call: Call, attempt: number): Promise<void> {
  if (!call.named || ctx.chains.size === 0) return;
  const attempts = await readAttempts(ctx.db, call.key);
  const canceled = attempts.filter(({ reason }) => reason === "authorization_canceled");
  const nonces = Array.from({ length: attempt + ATTEMPTS_AHEAD - 1 }, (_, index) =>
    deriveNonce(ctx.nonceSecret, call.key, index + 1),
  );
  const use = await findUse({
    chains: ctx.chains,
    assets: ctx.config.payment.assets,
    payer: call.wallet.address,
    nonces: nonces.filter((nonce) => !canceled.some(({ payment }) => payment.nonce === nonce)),
  });
  if (use === null) return;
  const { network, transaction } = use;
  throw new Proof402Error(
    "paid_elsewhere",
    transaction === null
      ? `A payment authorization of this idempotency key is used up on ${network}, and this database knows of no payment by it.`
      : `This idempotency key was paid on ${network} in transaction ${transaction}, and this database knows of no payment by it.`,
    {
      money: transaction === null ? "may-move" : "moved",
      next: "Nothing more is signed under this key. Look for its receipt in the other database of this wallet; use a new key for another purchase only.",
      details: { network, transaction },
    },
  );
}
