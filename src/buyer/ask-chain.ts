import { Proof402Error } from "../errors.ts";
import { markSettled, release } from "../payment/journal.ts";
import type { PurchaseRecord } from "../payment/types.ts";
import { believe } from "../payment/witness.ts";
import type { BuyerContext } from "./context.ts";

/** What the chain shows of one attempt, as far as it is believed. `hint` is the transaction that its seller named. */
export const lookAt = (
  ctx: BuyerContext,
  { payment, createdAt }: PurchaseRecord,
  hint?: string,
): ReturnType<typeof believe> =>
  believe({
    db: ctx.db,
    chain: ctx.chains.get(payment.network),
    payment,
    now: ctx.clock(),
    since: new Date(createdAt),
    transactionHint: hint,
  });

/** Settles or releases one attempt as the chain shows it, or leaves it where the chain cannot say. */
export async function askChain(ctx: BuyerContext, purchase: PurchaseRecord): Promise<void> {
  const { id } = purchase;
  const seen = await lookAt(ctx, purchase);
  const now = ctx.clock();
  if (seen.state === "settled") {
    const { transaction, amount, fault } = seen;
    await markSettled(ctx.db, id, { transaction, amount, reason: fault, now });
  } else if (seen.state === "expired") {
    await release(ctx.db, id, { reason: seen.reason, unusable: true, now });
  }
}

/** The chain does not decide an earlier attempt, even one given up before. */
export const inDoubt = (): Proof402Error =>
  new Proof402Error(
    "payment_in_doubt",
    "The chain cannot say yet whether this call's earlier authorization was used.",
    { money: "may-move", next: "Call again with the same idempotency key in a minute." },
  );
