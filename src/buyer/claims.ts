import { Proof402Error } from "../errors.ts";
import { isLaterShare, purchaseNonceOf } from "../evidence/payment-binding.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { appendEntry } from "../receipts/log-entry.ts";
import { claimStates } from "../receipts/log-rows.ts";
import type { Payment, Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";
import type { Buyer, Claim } from "./types.ts";
import { requireReceipt } from "../receipts/store.ts";

/**
 * Claims of one buyer. One purchase, one claim per purpose: a purchase is known by its payment nonce. Network, asset,
 * payer and nonce together name it. The seller signs the nonce alone of these, so only the nonce stays the same in a
 * copy with the others changed.
 */
export function createClaims(ctx: BuyerContext): Pick<Buyer, "claimReceipt" | "endClaim" | "claims"> {
  /** Actions under way in this process. */
  const acting = new Set<string>();
  const keyOf = (id: string, purpose: string): string => `${id} ${purpose}`;

  return {
    async claimReceipt(id, purpose, action) {
      const { core } = await requireReceipt(ctx.db, id);
      const claimed = await immediate(ctx.db, async (tx) => {
        if (action !== undefined && action.allowImported !== true) await requireOwn(tx, id);
        const at = ctx.clock();
        const row = await tx
          .insertInto("receipt_claims")
          .values({
            receipt_id: id,
            purpose,
            at: at.getTime(),
            purchase: await purchaseOf(tx, id, core.payment),
            state: action === undefined ? "claimed" : "invoking",
            arguments: action?.arguments.json ?? null,
            arguments_sha256: action?.arguments.sha256 ?? null,
          })
          .onConflict((conflict) => conflict.doNothing())
          .returningAll()
          .executeTakeFirst();
        if (row === undefined) return false;
        await appendEntry(tx, { kind: "claim", subject: id, value: claimStates(row)[0], at });
        return true;
      });
      if (claimed && action !== undefined) acting.add(keyOf(id, purpose));
      return claimed;
    },

    async endClaim(id, purpose, { state, outcome }) {
      acting.delete(keyOf(id, purpose));
      await immediate(ctx.db, async (tx) => {
        const at = ctx.clock();
        const row = await tx
          .updateTable("receipt_claims")
          .set({ state, outcome, ended_at: at.getTime() })
          .where("receipt_id", "=", id)
          .where("purpose", "=", purpose)
          .where("state", "=", "invoking")
          .returningAll()
          .executeTakeFirst();
        if (row !== undefined) await appendEntry(tx, { kind: "claim", subject: id, value: claimStates(row)[1], at });
      });
    },

    async claims(id) {
      const receipt = await requireReceipt(ctx.db, id);
      return readClaims(ctx.db, receipt, ({ receiptId, purpose }) => acting.has(keyOf(receiptId, purpose)));
    },
  };
}

/**
 * The claims on a receipt's purchase, oldest first. An action begun without a noted end is `undecided`, unless
 * `isUnderWay` knows better: its process may have died.
 */
export async function readClaims(
  db: Db,
  receipt: Receipt,
  isUnderWay: (claim: Claim) => boolean = () => false,
): Promise<Claim[]> {
  const purchase = await purchaseOf(db, receipt.id, receipt.core.payment);
  const rows = await db
    .selectFrom("receipt_claims")
    .selectAll()
    .where((where) => where.or([where("purchase", "=", purchase), where("receipt_id", "=", receipt.id)]))
    .orderBy("at")
    .execute();
  return rows.map((row) => {
    const claim: Claim = {
      receiptId: row.receipt_id,
      purpose: row.purpose,
      at: new Date(row.at).toISOString(),
      state: row.state,
      arguments:
        row.arguments === null || row.arguments_sha256 === null
          ? null
          : { json: row.arguments, sha256: row.arguments_sha256 },
      outcome: row.outcome,
      endedAt: row.ended_at === null ? null : new Date(row.ended_at).toISOString(),
    };
    return claim.state === "invoking" && !isUnderWay(claim) ? { ...claim, state: "undecided" } : claim;
  });
}

/**
 * The purchase that a claim uses up: the payment's nonce. Of an authorization for several calls each own call is a
 * purchase. Of a file from elsewhere the authorization alone counts, for all its calls: nothing here tells how many there
 * really were.
 */
const purchaseOf = async (db: Db, id: string, payment: Payment): Promise<string> =>
  isLaterShare(payment) && (await readPurchaseByReceipt(db, id)) !== null ? purchaseNonceOf(payment) : payment.nonce;

async function requireOwn(tx: Db, id: string): Promise<void> {
  if ((await readPurchaseByReceipt(tx, id)) !== null) return;
  throw new Proof402Error("receipt_imported", "The receipt is not of a purchase in this buyer's own journal.", {
    next: "Buy the inference with this buyer, then use the new receipt.",
  });
}
