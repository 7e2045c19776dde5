import { Proof402Error } from "../../errors.ts";
import type { Appraisal, Receipt } from "../../receipts/schema.ts";
import { appendAppraisal, requireReceipt } from "../../receipts/store.ts";
import { appraisalPolicyOf, type BuyerContext } from "../context.ts";
import { newestAppraisal, wantedAssurance } from "../../receipts/newest.ts";
import { openBell } from "../../storage/notices.ts";
import { holdForReceipt } from "../holds.ts";
import { storeVerdict } from "../verdicts.ts";

/** How often another process's progress is looked for while no server tells of it, ms. */
const POLL_MS = 200;
/** How often evidence is looked for again while a caller waits, even in its back-off, ms. */
const HURRY_MS = 2000;

/** How often one wait judges again what other policies judged: two that wait would take turns without an end. */
const MOST_JUDGED = 8;

/** The layers that evidence after the answer decides. */
const SECOND_CLOCK = ["settlement", "inclusion", "computation"] as const;

/**
 * The stored receipt once its verdict is no longer `pending` (with `settled`, and its payment was seen on chain), or as it stands after `waitSeconds`. Sees evidence landed
 * by this process at once, and by another process within a fraction of a second; `onLanded` gets the receipt each time
 * it has more evidence than before. A verdict by another process's policy is judged again by this one's, and that one counts.
 */
export async function waitForVerdict(
  ctx: BuyerContext,
  id: string,
  options: {
    waitSeconds: number;
    settled?: boolean | undefined;
    signal?: AbortSignal | undefined;
    onLanded?: (receipt: Receipt) => void;
  },
): Promise<Receipt> {
  const deadline = ctx.clock().getTime() + options.waitSeconds * 1000;
  let landed = 0;
  let mine: Judged | null = null;
  let judgements = 0;
  let hurriedAt = -Infinity;
  const bell = openBell(ctx.db, (notice) => notice === `receipts ${id}`);
  const off = ctx.events.on((receipt) => {
    if (receipt.id === id) bell.ring();
  });
  try {
    for (;;) {
      const stored = await requireReceipt(ctx.db, id);
      if (stored.later.length > landed) options.onLanded?.(stored);
      landed = stored.later.length;
      const isOthers = options.waitSeconds > 0 && isJudgedByOthers(ctx, stored);
      if (isOthers && judgements < MOST_JUDGED && mine?.appraisals !== stored.appraisals.length) {
        judgements += 1;
        mine = await judgeHere(ctx, stored);
        // What changed meanwhile is looked at again.
        continue;
      }
      const receipt =
        isOthers && mine !== null ? { ...stored, appraisals: [...stored.appraisals, mine.appraisal] } : stored;
      const left = deadline - ctx.clock().getTime();
      const { verdict, layers } = newestAppraisal(receipt);
      const isAwaited = verdict === "pending" || (options.settled === true && layers.settlement.status === "pending");
      if (!isAwaited || left <= 0) return receipt;
      if (performance.now() - hurriedAt >= HURRY_MS) {
        // Evidence is looked for now, not when a back-off ends or the lease of a process that is gone.
        await ctx.queue.hurry(id, ctx.clock().getTime());
        hurriedAt = performance.now();
      }
      ctx.wakeSecondClock();
      await bell.wait({ ms: Math.min(left, POLL_MS), rareMs: Math.min(left, HURRY_MS), signal: options.signal });
      if (options.signal?.aborted === true)
        throw new Proof402Error("aborted", "Waiting was aborted; the receipt is stored.", {
          next: "Read the receipt again.",
        });
    }
  } finally {
    off();
    bell.close();
  }
}

/** An appraisal by this process's policy, and how many the receipt has with it. */
type Judged = { appraisal: Appraisal; appraisals: number };

/** Whether another policy gave the newest verdict on a receipt that this process's policy judged before. */
function isJudgedByOthers(ctx: BuyerContext, receipt: Receipt): boolean {
  const assurance = wantedAssurance(receipt, ctx.config.verification.assurance);
  const own = ctx.session.policyHash(appraisalPolicyOf(ctx.config, assurance));
  return newestAppraisal(receipt).policyHash !== own && receipt.appraisals.some((one) => one.policyHash === own);
}

/** Judges a receipt by this process's policy, and stores that. */
async function judgeHere(ctx: BuyerContext, stored: Receipt): Promise<Judged> {
  const { id } = stored;
  const judged = await storeVerdict(ctx, stored, async (tx, appraisal) => {
    const receipt = await appendAppraisal(tx, id, appraisal);
    await holdForReceipt(tx, receipt, ctx.clock().getTime());
    return { appraisal, receipt };
  });
  ctx.events.emit(judged.receipt);
  return { appraisal: judged.appraisal, appraisals: judged.receipt.appraisals.length };
}

/**
 * Reports the landed and the awaited background evidence to a waiting person: `settlement pass, computation pending`.
 */
export function whatCame(receipt: Receipt): string {
  const { layers, verdict } = newestAppraisal(receipt);
  const words = SECOND_CLOCK.map((layer) => `${layer} ${layers[layer].status}`);
  return `background checks: the verdict is ${verdict} (${words.join(", ")})`;
}

/** What stopped the wait of a purchase, as its caller must hear it: the payment was made before. */
export function waitEnded(error: unknown, receiptId: string): Proof402Error {
  const known = Proof402Error.isInstance(error);
  return new Proof402Error(
    known ? error.code : "wait_failed",
    `Waiting for the verdict ended early; the answer and receipt ${receiptId} are stored.`,
    {
      next: "Call again with the same idempotency key for the answer, or read the receipt for the verdict.",
      details: { receiptId },
      cause: error,
    },
  );
}
