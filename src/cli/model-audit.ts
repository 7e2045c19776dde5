import { formatUnits } from "../chain/amounts.ts";
import { bytesOf } from "../evidence/body.ts";
import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { paidAmount } from "../receipts/paid.ts";
import type { Receipt } from "../receipts/schema.ts";
import { isAnswer } from "../receipts/transfer.ts";

/** The answers of one seller in one month that were asked of one model, said to be of one model, and paid in one token. */
export type AuditRow = {
  /** UTC, such as 2026-11. */
  month: string;
  seller: string;
  asked: string;
  /** The model that the answers or their headers name; empty if they name none. */
  served: string;
  /** `same` in every spelling of the name; `other`; `not said`. */
  match: "same" | "other" | "not said";
  answers: number;
  failed: number;
  /** Tokens as the seller counts them, in answers that tell of them. */
  prompt_tokens: number;
  completion_tokens: number;
  answers_with_usage: number;
  /** Whole tokens of money. What is authorized and not settled counts in full. */
  paid: string;
  /** The same for the answers whose receipts know a listed price, beside what the list says of them. */
  paid_of_listed: string;
  listed: string;
  /** Answers that cost more than the list said. */
  over_listed: number;
  /** `paid` for a thousand tokens, of the answers with usage. */
  per_1k_tokens: string;
  symbol: string;
  network: string;
};

/** The names of the columns, in their order. */
export const AUDIT_COLUMNS: readonly (keyof AuditRow)[] = [
  "month",
  "seller",
  "asked",
  "served",
  "match",
  "answers",
  "failed",
  "prompt_tokens",
  "completion_tokens",
  "answers_with_usage",
  "paid",
  "paid_of_listed",
  "listed",
  "over_listed",
  "per_1k_tokens",
  "symbol",
  "network",
];

type Sum = Omit<AuditRow, "paid" | "paid_of_listed" | "listed" | "per_1k_tokens"> &
  Record<"paid" | "paidOfListed" | "listed" | "paidWithUsage", bigint> & { decimals: number };

/** Sums receipts of answers up. One row for each seller, month, pair of models and token, in this order. */
export async function auditModels(
  receipts: AsyncIterable<Receipt>,
  assets: readonly AssetPolicy[],
): Promise<AuditRow[]> {
  const sums = new Map<string, Sum>();
  for await (const receipt of receipts) {
    if (isAnswer(receipt.core)) add(sums, receipt, assets);
  }
  return [...sums].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([, sum]) => rowOf(sum));
}

function add(sums: Map<string, Sum>, receipt: Receipt, assets: readonly AssetPolicy[]): void {
  const { core } = receipt;
  const { seller, request, payment, offer } = core;
  const { served, match } = servedIn(receipt);
  const month = request.sentAt.slice(0, 7);
  const key = JSON.stringify([seller.id, month, request.model, served, payment.network, payment.asset]);
  const token = findAsset(payment, assets);
  const sum = sums.get(key) ?? {
    month,
    seller: seller.id,
    asked: request.model,
    served,
    match,
    answers: 0,
    failed: 0,
    prompt_tokens: 0,
    completion_tokens: 0,
    answers_with_usage: 0,
    over_listed: 0,
    symbol: token?.symbol ?? payment.asset,
    network: payment.network,
    decimals: token?.decimals ?? offer.decimals,
    paid: 0n,
    paidOfListed: 0n,
    listed: 0n,
    paidWithUsage: 0n,
  };
  sums.set(key, sum);
  const paid = BigInt(paidAmount(receipt).amount);
  sum.answers += 1;
  sum.paid += paid;
  if (receipt.appraisals.length > 0 && newestAppraisal(receipt).verdict === "failed") sum.failed += 1;
  const usage = usageIn(receipt);
  if (usage !== null) {
    sum.answers_with_usage += 1;
    sum.prompt_tokens += usage.prompt_tokens;
    sum.completion_tokens += usage.completion_tokens;
    sum.paidWithUsage += paid;
  }
  const price = "listedPrice" in core ? core.listedPrice : null;
  if (price !== null && price.network === payment.network && price.asset === payment.asset) {
    sum.listed += BigInt(price.amount);
    sum.paidOfListed += paid;
    if (paid > BigInt(price.amount)) sum.over_listed += 1;
  }
}

function rowOf({ decimals, paid, paidOfListed, listed, paidWithUsage, ...row }: Sum): AuditRow {
  const tokens = BigInt(row.prompt_tokens + row.completion_tokens);
  const units = (amount: bigint): string => formatUnits(amount.toString(), decimals);
  return {
    ...row,
    paid: units(paid),
    paid_of_listed: units(paidOfListed),
    listed: units(listed),
    per_1k_tokens: tokens === 0n ? "" : units((paidWithUsage * 1000n) / tokens),
  };
}

/** The model that an answer is said to be of. Headers that tell of a fallback count before the answer. */
function servedIn({ core }: Receipt): Pick<AuditRow, "served" | "match"> {
  const format: ExchangeFormat | null = formatOf(core.seller.provider);
  const told = core.evidence.flatMap((one) =>
    one.kind === "served.fallback" && typeof one.model === "string" && one.model !== "" ? [one.model] : [],
  );
  const { body } = core.response;
  const named = body === undefined ? null : (format?.modelIn(bytesOf(body), "response") ?? null);
  const served = told[0] ?? named ?? "";
  if (served === "") return { served, match: "not said" };
  const asked = core.request.model;
  const isSame = format?.compareModels?.(asked, served).isSame ?? asked === served;
  return { served, match: isSame ? "same" : "other" };
}

function usageIn({ core }: Receipt): { prompt_tokens: number; completion_tokens: number } | null {
  const { body } = core.response;
  const format = formatOf(core.seller.provider);
  const read = body === undefined ? null : (format?.readAnswer(bytesOf(body)) ?? null);
  return read?.readable === true ? (format?.readChat?.(read.answer)?.usage ?? null) : null;
}
