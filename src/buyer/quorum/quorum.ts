import { sumText } from "../../chain/money-text.ts";
import { requireClient } from "../../payment/client-budget.ts";
import { Proof402Error, type ErrorCode } from "../../errors.ts";
import { findAsset } from "../../payment/policy.ts";
import { argsDigestOf, requireKey, requireWallet } from "../call.ts";
import { withLock } from "../call-lease.ts";
import { keyConflict, noteTold, openKey } from "../calls.ts";
import type { BuyerContext } from "../context.ts";
import { withMoney } from "../money.ts";
import type { BuyOptions, BuyRequest, BuyResult, ByQuorum, QuorumResult } from "../types.ts";
import { attemptsOfQuorum, isOfQuorum } from "./keys.ts";
import { quorumOutcome, type MemberOutcome } from "./outcome.ts";
import { planQuorum, type Member, type Plan } from "./plan.ts";
import { readTerms, type QuorumTerms } from "./terms.ts";

/** Makes one purchase. `most` bounds it in USD, beside the request's own bound. */
export type BuyOne = (request: BuyRequest, options: BuyOptions, most: number | undefined) => Promise<BuyResult>;

/** Errors that end the whole call: its caller left, or a person has to be asked. */
const OF_THE_CALL: readonly ErrorCode[] = ["aborted", "buyer_closed", "approval_pending", "approval_cancelled"];

/**
 * Buys from several sellers and compares their answers. Sellers and bounds stand before the first payment. A seller whose
 * purchase ends without money out is replaced by the next one, so `of` purchases at most are paid.
 *
 * Throws Proof402Error: `quorum_sellers` and `over_call_limit` before anything is paid, `quorum_incomplete` if fewer answers
 * came than have to agree, and `idempotency_conflict`.
 */
export async function buyQuorum(
  ctx: BuyerContext,
  buyOne: BuyOne,
  request: BuyRequest & ByQuorum,
  options: BuyOptions,
): Promise<QuorumResult> {
  const terms = readTerms(request.quorum);
  requireFitting(request, options);
  const { quorum: _terms, ...one } = request;
  const { address: payer } = requireWallet(ctx);
  const { idempotencyKey: own, callKey: surface } = request;
  requireKey(own);
  requireClient(request.client);
  const argsDigest = argsDigestOf(request);
  for (const key of [own, surface]) if (key !== undefined) await requireSameCall(ctx, key, argsDigest);
  const { key } = await openKey(ctx, { own, surface, payer, argsDigest });
  try {
    const result = await withLock(ctx, key, options.signal, () =>
      run(ctx, buyOne, { request: one, options, terms, key }),
    );
    await noteTold(ctx, key, () => options.signal?.aborted !== true).catch(() => undefined);
    return result;
  } catch (error) {
    const told = await withQuorumMoney(ctx, key, error, request.client);
    if (told.money === "not-moved") await noteTold(ctx, key, () => true).catch(() => undefined);
    throw told;
  }
}

async function run(
  ctx: BuyerContext,
  buyOne: BuyOne,
  { request, options, terms, key }: { request: BuyRequest; options: BuyOptions; terms: QuorumTerms; key: string },
): Promise<QuorumResult> {
  const assurance = request.assurance ?? ctx.config.verification.assurance;
  const plan = await planQuorum(ctx, { request, assurance, terms, key, signal: options.signal });
  const outcomes = await buyAll(plan, options, (member) => buyOf(buyOne, request, options, member));
  const answered = outcomes.filter((one) => "result" in one);
  if (answered.length < terms.agree) throw await incomplete(ctx, key, outcomes, terms);
  return quorumOutcome(outcomes, { terms, key });
}

/** Buys of all planned sellers at once, or one after another if a person may be asked. */
async function buyAll(
  { members, spare }: Plan,
  { approve }: BuyOptions,
  buy: (member: Member) => Promise<MemberOutcome>,
): Promise<MemberOutcome[]> {
  const outcomes: MemberOutcome[] = [];
  const left = [...spare];
  for (let turn = members; turn.length > 0;) {
    const width = approve === undefined ? turn.length : 1;
    const ended = await Promise.all(
      turn.slice(0, width).map(async (member) => ({ member, outcome: await buy(member) })),
    );
    const next = turn.slice(width);
    for (const { member, outcome } of ended) {
      outcomes.push(outcome);
      if (!("error" in outcome)) continue;
      if (OF_THE_CALL.includes(outcome.error.code)) throw outcome.error;
      const place =
        outcome.error.money === "not-moved" ? left.findIndex(({ most }) => isWithin(most, member.most)) : -1;
      if (place !== -1) next.push(...left.splice(place, 1));
    }
    turn = next;
  }
  return outcomes;
}

/** A replacement takes no more of the call's bound than its predecessor had. */
const isWithin = (most: number | undefined, had: number | undefined): boolean =>
  had === undefined || (most !== undefined && most <= had);

async function buyOf(
  buyOne: BuyOne,
  { callKey: _callKey, ...request }: BuyRequest,
  options: BuyOptions,
  { sellerId, key, most }: Member,
): Promise<MemberOutcome> {
  const { onProgress } = options;
  const told: BuyOptions["onProgress"] =
    onProgress && ((step) => onProgress({ ...step, message: `${sellerId}: ${step.message}` }));
  try {
    const asked = { ...request, seller: sellerId, idempotencyKey: key };
    return { sellerId, result: await buyOne(asked, { ...options, onProgress: told }, most) };
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    return { sellerId, error };
  }
}

/** Throws Proof402Error `invalid_input` for what means nothing of several sellers. */
function requireFitting({ seller }: BuyRequest, { onAnswerPart }: BuyOptions): void {
  const named = seller === undefined ? (onAnswerPart === undefined ? null : "onAnswerPart") : "seller";
  if (named === null) return;
  throw new Proof402Error("invalid_input", `A quorum has several sellers, so "${named}" cannot be given with it.`, {
    next: "Leave it out, or buy without a quorum.",
  });
}

/** Throws Proof402Error `idempotency_conflict` if the key's purchases were made for other arguments. */
async function requireSameCall(ctx: BuyerContext, key: string, argsDigest: string): Promise<void> {
  const call = await ctx.db
    .selectFrom("calls")
    .select("args_digest")
    .where("idempotency_key", "=", key)
    .executeTakeFirst();
  if (call === undefined || call.args_digest === argsDigest) return;
  if (await isOfQuorum(ctx.db, key)) throw keyConflict();
}

async function incomplete(
  ctx: BuyerContext,
  key: string,
  outcomes: readonly MemberOutcome[],
  { of, agree }: QuorumTerms,
): Promise<Proof402Error> {
  const results = outcomes.flatMap((one) => ("result" in one ? [one.result] : []));
  const failures = outcomes.flatMap((one) => ("error" in one ? [{ seller: one.sellerId, code: one.error.code }] : []));
  const receipts = results.map(({ receipt }) => receipt.id);
  const why = failures.map(({ seller, code }) => `${seller} (${code})`).join(", ");
  const kept = receipts.length === 0 ? "" : ` The receipts are kept: ${receipts.join(", ")}.`;
  return new Proof402Error(
    "quorum_incomplete",
    `Of a quorum of ${of}, ${results.length} answered, and ${agree} have to agree. Without an answer: ${why}. ${await paidText(ctx, key)}${kept}`,
    {
      next: "Call again with the same key: answers and open payments are taken up, and nothing is paid twice.",
      details: { receipts, failures },
    },
  );
}

/** The sums that are out for a quorum, by token. */
async function paidText(ctx: BuyerContext, key: string): Promise<string> {
  const sums = new Map<string, { network: string; asset: string; sum: bigint }>();
  for (const { network, asset, amount, counts } of await attemptsOfQuorum(ctx.db, key)) {
    if (!counts) continue;
    const place = `${network} ${asset}`;
    sums.set(place, { network, asset, sum: (sums.get(place)?.sum ?? 0n) + BigInt(amount) });
  }
  if (sums.size === 0) return "Nothing was paid.";
  const { assets } = ctx.config.payment;
  return `Paid or still payable: ${[...sums.values()].map(({ sum, ...of }) => sumText(sum, findAsset(of, assets), of)).join(" and ")}.`;
}

/** The error with the fate of all the quorum's money, and the call's own key. */
async function withQuorumMoney(
  ctx: BuyerContext,
  key: string,
  thrown: unknown,
  client: BuyRequest["client"],
): Promise<Proof402Error> {
  const keys = await attemptsOfQuorum(ctx.db, key).then(
    (attempts) => attempts.map((one) => one.key),
    () => null,
  );
  const error = await withMoney(ctx, keys, thrown, client);
  const { code, message, next, money, details, cause } = error;
  const isOpen = money !== "not-moved" || error.idempotencyKey !== undefined;
  return new Proof402Error(code, message, {
    next,
    ...(money === undefined ? {} : { money }),
    ...(isOpen ? { idempotencyKey: key } : {}),
    details,
    cause,
  });
}
