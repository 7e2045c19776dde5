import { Proof402Error } from "../errors.ts";
import { isLaterShare, purchaseNonceOf } from "../evidence/payment-binding.ts";
import { readPurchaseByReceipt } from "../payment/journal.ts";
import type { ClaimRow } from "../storage/claim-tables.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import { appendEntry } from "../receipts/log-entry.ts";
import { claimStates } from "../receipts/log-rows.ts";
import type { Payment, Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";
import { requireNoStop } from "./guard-stop.ts";
import { noteLateEnd } from "./late-end.ts";
import { thisProcess } from "./process-owner.ts";
import type { Claim } from "./action-types.ts";
import type { Buyer } from "./types.ts";
import { requireReceipt } from "../receipts/store.ts";

/**
 * Claims of one buyer for a purpose of its caller's. One purchase, one claim per purpose: a purchase is known by its payment
 * nonce. Network, asset, payer and nonce together name it. The seller signs the nonce alone of these, so only the nonce stays
 * the same in a copy with the others changed.
 */
export function createClaims(
  ctx: BuyerContext,
  isActing: (claim: string) => boolean = () => false,
): Pick<Buyer, "claimReceipt" | "endClaim" | "claims"> {
  /** Actions under way in this process: claims by receipt and purpose. */
  const acting = new Map<string, string>();
  const owner = thisProcess();

  return {
    async claimReceipt(id, purpose, action) {
      const { core } = await requireReceipt(ctx.db, id);
      const self = await owner;
      const claimed = await immediate(ctx.db, async (tx) => {
        await requireNoStop(tx, ctx.config.database);
        if (action !== undefined && action.allowImported !== true) await requireOwn(tx, id);
        const at = ctx.clock();
        const purchase = await purchaseOf(tx, id, core.payment);
        const taken = await claimsOn(tx, { receiptId: id, purchase, purpose });
        if (taken.some(isTaken)) return null;
        const row = await tx
          .insertInto("receipt_claims")
          .values({
            receipt_id: id,
            purpose,
            at: at.getTime(),
            purchase,
            state: action === undefined ? "claimed" : "invoking",
            arguments: action?.arguments.json ?? null,
            arguments_sha256: action?.arguments.sha256 ?? null,
            owner: action === undefined ? null : self,
          })
          .returningAll()
          .executeTakeFirstOrThrow();
        await appendEntry(tx, { kind: "claim", subject: id, value: claimStates(row)[0], at });
        return row.id;
      });
      if (claimed !== null && action !== undefined) acting.set(keyOf(id, purpose), claimed);
      return claimed !== null;
    },

    async endClaim(id, purpose, { state, outcome }) {
      const own = acting.get(keyOf(id, purpose));
      acting.delete(keyOf(id, purpose));
      await immediate(ctx.db, async (tx) => {
        const at = ctx.clock();
        const row = await tx
          .updateTable("receipt_claims")
          .set({ state, outcome, ended_at: at.getTime() })
          .where("receipt_id", "=", id)
          .where("purpose", "=", purpose)
          .where("state", "=", "invoking")
          // Those of guards end by their own ids.
          .where("idempotency_key", "is", null)
          // A later claim, made after a person decided this one, is not ended by it.
          .$if(own !== undefined, (query) => query.where("id", "=", own ?? ""))
          .returningAll()
          .executeTakeFirst();
        if (row !== undefined) await appendEntry(tx, { kind: "claim", subject: id, value: claimStates(row)[1], at });
        else if (own !== undefined) await noteLateEnd(tx, own, { state, outcome }, at);
      });
    },

    async claims(id) {
      const receipt = await requireReceipt(ctx.db, id);
      const own = new Set(acting.values());
      return readClaims(ctx.db, receipt, (claim) => own.has(claim) || isActing(claim));
    },
  };
}

const keyOf = (id: string, purpose: string): string => `${id} ${purpose}`;

/** Whether a claim takes its place. A failed action that had begun, or may have, keeps it for itself alone. */
export const isTaken = ({ state, begun_at: begunAt, decided_at: decidedAt }: ClaimRow): boolean =>
  state !== "failed" || begunAt !== null || decidedAt !== null;

/** The claims on one purchase, for a purpose or for all, by whichever of its receipts, the failed ones included. Oldest first. */
export const claimsOn = (
  tx: Db,
  { receiptId, purchase, purpose }: { receiptId: string; purchase: string; purpose?: string },
): Promise<ClaimRow[]> =>
  tx
    .selectFrom("receipt_claims")
    .selectAll()
    .$if(purpose !== undefined, (query) => query.where("purpose", "=", purpose ?? ""))
    .where((where) => where.or([where("purchase", "=", purchase), where("receipt_id", "=", receiptId)]))
    .orderBy("at")
    .execute();

/**
 * The claims on a receipt's purchase, oldest first. An action begun without a noted end is `undecided`, unless
 * `isUnderWay` knows better: its process may have died.
 */
export async function readClaims(
  db: Db,
  receipt: Receipt,
  isUnderWay: (id: string) => boolean = () => false,
): Promise<Claim[]> {
  const purchase = await purchaseOf(db, receipt.id, receipt.core.payment);
  const rows = await claimsOn(db, { receiptId: receipt.id, purchase });
  return rows.map((row) => {
    const claim: Claim = {
      receiptId: row.receipt_id,
      purpose: row.purpose,
      at: new Date(row.at).toISOString(),
      state: row.state,
      arguments: argumentsOf(row),
      outcome: row.outcome,
      endedAt: timeOf(row.ended_at),
    };
    return claim.state === "invoking" && !isUnderWay(row.id) ? { ...claim, state: "undecided" } : claim;
  });
}

/** What a claim's action was begun with, or null. */
export const argumentsOf = ({ arguments: json, arguments_sha256: sha256 }: ClaimRow): Claim["arguments"] =>
  json === null || sha256 === null ? null : { json, sha256 };

export const timeOf = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/**
 * The purchase that a claim uses up: the payment's nonce. Of an authorization for several calls each own call is a
 * purchase. Of a file from elsewhere the authorization alone counts, for all its calls: nothing here tells how many there
 * really were.
 */
const purchaseOf = async (db: Db, id: string, payment: Payment): Promise<string> =>
  isLaterShare(payment) && (await readPurchaseByReceipt(db, id)) !== null ? purchaseNonceOf(payment) : payment.nonce;

/**
 * The same of a stored receipt, by its column of that name alone. Audits compare the column with the receipt, and a guard has
 * read and appraised the receipt itself. Throws Proof402Error `receipt_not_found` and `receipt_store_damaged`.
 */
export async function purchaseOfStored(tx: Db, id: string): Promise<string> {
  const row = await tx.selectFrom("receipts").select("payment_nonce").where("id", "=", id).executeTakeFirst();
  if (!row?.payment_nonce) return purchaseOf(tx, id, (await requireReceipt(tx, id)).core.payment);
  const [authorization = "", ofLaterShare] = row.payment_nonce.split(" ");
  const isWhole = ofLaterShare === undefined || (await readPurchaseByReceipt(tx, id)) !== null;
  return isWhole ? row.payment_nonce : authorization;
}

/** Throws Proof402Error `receipt_imported` for a receipt that is not of a purchase in this buyer's own journal. */
export async function requireOwn(tx: Db, id: string): Promise<void> {
  if ((await readPurchaseByReceipt(tx, id)) !== null) return;
  throw new Proof402Error("receipt_imported", "The receipt is not of a purchase in this buyer's own journal.", {
    next: "Buy the inference with this buyer, then use the new receipt.",
  });
}
