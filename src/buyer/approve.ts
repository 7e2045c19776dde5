import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { Proof402Error } from "../errors.ts";
import { chainName, moneyText } from "../chain/money-text.ts";
import { readAttempts } from "../payment/journal.ts";
import { stillAtStake } from "../payment/judge.ts";
import { APPROVAL_SECONDS, awaitWord, endQuestion, takeWord, type Pending } from "./approvals.ts";
import { aborted, type Call } from "./call.ts";
import type { Candidate } from "../market/choose.ts";
import type { BuyerContext } from "./context.ts";
import { moneyOf } from "./money.ts";
import type { Quote } from "./quote.ts";
import type { Ending, OwnersWord, Word } from "./owners-word.ts";
import type { ApprovalRequest } from "./types.ts";

/**
 * Step 4: asks a person where the policy wants one for what this call may cost in all. The answer binds key and
 * attempt, so that one yes is one authorization. `own` is the purchase itself, where it is in the journal already;
 * `onWord` asks at any cost. Tells whether a person was asked: what was judged before may have changed meanwhile.
 *
 * Without anyone to ask it takes the owner's word from the database ({@link takeWord}).
 *
 * Throws Proof402Error `approval_required` where there is none yet, `approval_pending` where the answer comes after
 * this call ({@link pendingApproval}), `approval_declined`, `approval_cancelled` where the question was closed
 * unanswered, and `aborted` where the caller gives up before the person has answered.
 */
export async function approve(
  ctx: BuyerContext,
  call: Call,
  { candidate, quote }: { candidate: Candidate; quote: Pick<Quote, "offer" | "asset"> },
  { attempt, own = null, onWord = false }: { attempt: number; own?: string | null; onWord?: boolean },
): Promise<boolean> {
  const { offer, asset } = quote;
  const cost = await costOf(ctx, call, quote, own);
  const { network, asset: token } = offer;
  const { decimals, usdStable } = asset;
  const [amount, earlier] = [cost.inAll.toString(), cost.before.toString()];
  call.options.admit?.({ idempotencyKey: call.key, network, asset: token, amount, earlier, decimals, usdStable });
  const reason = ctx.providerOf(candidate.seller).asksFor?.(candidate.seller) ?? null;
  if (!onWord && reason === null && !isAskedFor(cost, asset)) return false;
  const { before, inAll } = cost;
  const units = (amount: bigint | string): string => moneyText(amount, asset);
  const besides =
    before === 0n
      ? ""
      : `An earlier payment for the same call may still take ${units(before)}: ${units(inAll)} in all.`;
  const said = [besides, reason ?? ""].filter((words) => words !== "").join(" ");
  const about = reason === null ? {} : { reason };
  const asked = { args: call.argsDigest, offer: offer.offerHash, seller: candidate.seller.id, ...about };
  const request: ApprovalRequest = {
    message: `Pay ${units(offer.amount)} on ${chainName(offer.network)} to ${offer.payTo} (${candidate.seller.id}) for one inference of ${candidate.model.name}?${said === "" ? "" : ` ${said}`}`,
    digest: toHex(canonicalSha256({ ...asked, key: call.key, attempt })),
    idempotencyKey: call.key,
    money: moneyOf(await readAttempts(ctx.db, call.key)),
    sellerId: candidate.seller.id,
    model: candidate.model.name,
    payTo: offer.payTo,
    network: offer.network,
    asset: offer.asset,
    amount: inAll.toString(),
  };
  call.requireCaller();
  const pending = { question: request, alike: toHex(canonicalSha256(asked)), input: call.request.input, besides: said };
  const needs = `${units(inAll)} needs a person's approval`;
  const details = { amount: inAll.toString(), approveAbove: asset.approveAbove ?? null };
  const { owner, takenBack } = ownersWord(ctx, call, { pending, needs, details });
  const decision =
    call.options.approve === undefined ? "leave" : await whileWanted(call, call.options.approve(request, owner));
  if (decision === "approved") return true;
  if (decision === "leave") {
    const word = await owner.ask();
    if (word.kind === "approved") return true;
    if (word.kind === "declined") throw declined(request);
    throw unasked(call, `${needs}, and no person can be asked here.`, word, details);
  }
  if (decision === "ask_later") {
    throw new Proof402Error("approval_pending", "A person has to approve this payment, and is asked after this call.", {
      idempotencyKey: call.key,
      next: "Ask the person, then call again with the same idempotency key and their answer.",
      details: { question: request },
    });
  }
  if (decision === "cancelled") {
    const so = takenBack() ? ", so the yes given on its page was taken back" : "";
    throw new Proof402Error(
      "approval_cancelled",
      `The question about this payment was closed without an answer${so}.`,
      {
        idempotencyKey: call.key,
        next: "Nothing is decided. Ask the person if the question should come again; if so, call with the same idempotency key.",
      },
    );
  }
  throw declined(request);
}

/** The owner's word on this call's question, for surfaces that have it answered elsewhere, and whether a yes was taken back. */
function ownersWord(
  { db, clock }: BuyerContext,
  call: Call,
  { pending, needs, details }: { pending: Pending; needs: string; details: Record<string, string | null> },
): { owner: OwnersWord; takenBack: () => boolean } {
  const { asking: signal } = call;
  let takenBack = false;
  const owner: OwnersWord = {
    ask: () => takeWord(db, pending, clock().getTime()),
    async wait(id) {
      const word = await awaitWord(db, id, { pending, clock, signal }).catch((error: unknown) => {
        if (signal.aborted) throw aborted();
        throw error;
      });
      if (word !== null) return word;
      throw new Proof402Error("approval_required", `${needs}, and the question about it ended without an answer.`, {
        idempotencyKey: call.key,
        next: "Ask the person if it should still be bought; if so, call again with the same idempotency key.",
        details,
      });
    },
    async end(id, how) {
      const was = await endQuestion(db, id, how);
      if (was === "used") throw usedMeanwhile(call, how);
      takenBack ||= was === "approved" && how === "withdrawn";
      return how === "declined" || was === "declined" ? "declined" : "cancelled";
    },
  };
  return { owner, takenBack: () => takenBack };
}

/** The error of a call with a yes that another call of its key has used: that one may pay. */
const usedMeanwhile = ({ key }: Call, how: Ending): Proof402Error =>
  new Proof402Error(
    how === "declined" ? "approval_declined" : "approval_cancelled",
    "The question about this payment was closed, but another call with its key had used the yes given on its page.",
    {
      idempotencyKey: key,
      money: "may-move",
      next: "Call again with the same idempotency key: it tells what became of that payment, and nothing is paid twice.",
    },
  );

/**
 * The error of a call without a person to ask. An agent may read it and have a shell: it names no command that would approve
 * its own payment.
 */
function unasked(
  { key }: Call,
  message: string,
  word: Extract<Word, { kind: "waits" }>,
  details: Record<string, string | null>,
): Proof402Error {
  const minutes = Math.round(APPROVAL_SECONDS / 60);
  return new Proof402Error("approval_required", message, {
    idempotencyKey: key,
    next: `It waits as approval ${word.id} for at most ${minutes} minutes, for its owner alone to answer: \`proof402 approvals\` shows it. Tell the owner; after a yes, call again with the same idempotency key.`,
    details: { ...details, approval: word.id, endsAt: new Date(word.endsAt).toISOString() },
  });
}

const declined = ({ money }: ApprovalRequest): Proof402Error =>
  new Proof402Error("approval_declined", "A person declined this payment.", {
    next: money === "not-moved" ? DECLINED_NEXT : `${DECLINED_NEXT} ${SIGNED_BEFORE}`,
  });

const DECLINED_NEXT = "Do not try this purchase again unless the person asks for it.";
const SIGNED_BEFORE = "The payment signed for it before counts until it is used or expires; `spending` shows it.";

/** Whether the policy wants a person's word for what a call may cost with this offer. */
export const needsWord = async (
  ctx: BuyerContext,
  call: Call,
  quote: Pick<Quote, "offer" | "asset">,
): Promise<boolean> => isAskedFor(await costOf(ctx, call, quote), quote.asset);

/** What a call may cost with this offer: `inAll`, and `before` of it by earlier payments, base units. */
type Cost = { before: bigint; inAll: bigint };

async function costOf(
  { db }: BuyerContext,
  { key }: Call,
  { offer }: Pick<Quote, "offer">,
  own: string | null = null,
): Promise<Cost> {
  const before = await stillAtStake(db, key, own);
  return { before, inAll: before + BigInt(offer.amount) };
}

const isAskedFor = ({ inAll }: Cost, { approveAbove }: Quote["asset"]): boolean =>
  approveAbove !== undefined && inAll > BigInt(approveAbove);

/** The person's answer, for as long as the caller waits for it. */
function whileWanted<T>({ asking }: Call, answer: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(aborted());
    if (asking.aborted) onAbort();
    asking.addEventListener("abort", onAbort, { once: true });
    answer.then(resolve, reject).finally(() => asking.removeEventListener("abort", onAbort));
  });
}
