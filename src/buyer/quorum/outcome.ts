import type { Proof402Error } from "../../errors.ts";
import { ASSURANCES, type Receipt, type Verdict } from "../../receipts/schema.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { BuyResult, QuorumResult } from "../types.ts";
import { agreeingSet } from "./agreement.ts";
import type { Dissent, QuorumTerms } from "./terms.ts";

/** How a seller's purchase ended. */
export type MemberOutcome = { sellerId: string } & ({ result: BuyResult } | { error: Proof402Error });

/** Verdicts from best to worst. */
const WORSE: readonly Verdict[] = ["verified", "pending", "unverified", "failed"];

/** Compares the answers of a quorum. The same outcomes give the same result in any order. */
export function quorumOutcome(
  outcomes: readonly MemberOutcome[],
  { terms, key }: { terms: QuorumTerms; key: string },
): QuorumResult {
  const sorted = outcomes.toSorted((a, b) => (a.sellerId < b.sellerId ? -1 : 1));
  const results = sorted.flatMap((one) => ("result" in one ? [one.result] : []));
  const voices: { result: BuyResult; said: Record<string, unknown> }[] = [];
  const dissenting: { result: BuyResult; why: Dissent }[] = [];
  for (const result of results) {
    const why = unheard(
      result,
      voices.map((voice) => voice.result.receipt),
    );
    if (why === null) voices.push({ result, said: saidIn(result) });
    else dissenting.push({ result, why });
  }
  const set = agreeingSet(
    voices.map(({ said }) => said),
    terms.tolerance,
  );
  const isAgreed = set.length >= terms.agree;
  const isIn = (at: number): boolean => isAgreed && set.includes(at);
  const agreeing = voices.filter((_voice, at) => isIn(at)).map(({ result }) => result);
  const [first] = agreeing;
  return {
    verdict: isAgreed
      ? (agreeing
          .map(({ verdict }) => verdict)
          .toSorted(byWorse)
          .at(-1) ?? "failed")
      : "failed",
    code: isAgreed ? null : "quorum_disagrees",
    answer: first?.readable === true ? first.answer : null,
    assurance: agreeing.map(({ appraisal }) => appraisal.assurance).toSorted(byRank)[0] ?? "none",
    simulated: agreeing.some(({ appraisal }) => appraisal.simulated),
    agreeing,
    dissenting: [
      ...dissenting,
      ...voices.filter((_voice, at) => !isIn(at)).map(({ result }) => ({ result, why: "differs" as const })),
    ],
    unanswered: sorted.flatMap((one) => ("error" in one ? [{ sellerId: one.sellerId, error: one.error }] : [])),
    receipts: results.map(({ receipt }) => receipt),
    terms,
    idempotencyKey: key,
  };
}

const byWorse = (a: Verdict, b: Verdict): number => WORSE.indexOf(a) - WORSE.indexOf(b);
const byRank = (a: (typeof ASSURANCES)[number], b: (typeof ASSURANCES)[number]): number =>
  ASSURANCES.indexOf(a) - ASSURANCES.indexOf(b);

/** Why an answer has no voice, or null. `before` are the receipts of those with one. */
function unheard({ verdict, readable, receipt }: BuyResult, before: readonly Receipt[]): Dissent | null {
  if (verdict === "failed") return "failed";
  if (!readable) return "unreadable";
  const { keyId } = receipt.core.seller;
  const { payTo } = receipt.core.payment;
  const isKnown = before.some(
    ({ core }) => core.payment.payTo === payTo || (keyId !== null && core.seller.keyId === keyId),
  );
  return isKnown ? "same_seller" : null;
}

/** What an answer says: of a chat its text, refusal and calls, without counts and ids of the seller's own. */
function saidIn({ receipt, answer }: BuyResult): Record<string, unknown> {
  const chat = formatOf(receipt.core.seller.provider)?.readChat?.(answer) ?? null;
  if (chat === null) return answer;
  const { text, refusal, calls } = chat;
  return { text, refusal, calls: calls.map(({ name, arguments: given }) => ({ name, arguments: given })) };
}
