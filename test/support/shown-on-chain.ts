import type { ReadAgain } from "../../src/buyer/online.ts";
import { isDisputed, piecesOf, withOnly } from "../../src/receipts/disputed.ts";
import type {
  Evidence,
  InclusionEvidence,
  LayerResult,
  Receipt,
  SettlementEvidence,
} from "../../src/receipts/schema.ts";
import { contradiction } from "../../src/verify/contradiction-codes.ts";
import { isOfChain, isOwnAmong } from "../../src/verify/find-evidence.ts";
import { judgeInclusion } from "../../src/verify/layers/inclusion.ts";
import { judgeSettlement } from "../../src/verify/layers/payment.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { pass, type Outstanding } from "../../src/verify/types.ts";

/** What a chain shows of a purchase. */
export type OnChain = { "settlement.x402": SettlementEvidence; "inclusion.merkle": InclusionEvidence };
type ChainKind = keyof OnChain;

/** Reads a receipt's chain again, of a chain that shows this and nothing else, or with null has confirmed nothing yet. */
export const readerOf =
  (shown: OnChain | null, policy: AppraisalPolicy) =>
  (told: Receipt): Promise<ReadAgain> => {
    const settled = readOf(told, shown, "settlement.x402", (one) => judgeSettlement(one, policy, isOwnAmong()));
    const anchored = readOf(told, shown, "inclusion.merkle", (one) =>
      judgeInclusion(one, { request: pass(""), response: pass("") }, policy, isOwnAmong()),
    );
    const own = [...(settled ?? (shown === null ? [] : [shown["settlement.x402"]])), ...(anchored ?? [])];
    const at = told.core.response.receivedAt;
    const later = told.later.filter(({ evidence }) => !isOfChain(evidence));
    const receipt = { ...told, later: [...later, ...own.map((evidence) => ({ at, evidence }))] };
    return Promise.resolve({ receipt, own, awaited: anchored?.length === 0 ? [NOT_CONFIRMED] : [] });
  };

/** What reading finds in place of a kind's words: what already fails as it is told stays. Null if nothing is told. */
function readOf(
  told: Receipt,
  shown: OnChain | null,
  kind: ChainKind,
  judge: (one: Receipt) => LayerResult,
): Evidence[] | null {
  const pieces = piecesOf(told, kind);
  if (pieces.length === 0) return null;
  if (pieces.length > 1 && !isDisputed(told, kind)) return pieces;
  if (pieces.every((piece) => judge(withOnly(told, kind, piece)).status === "fail")) return pieces.slice(0, 1);
  if (shown === null) return [];
  return pieces.some(isOwnAmong([shown[kind]])) ? [shown[kind]] : [shown[kind], DIFFERS[kind]];
}

const DIFFERS: Readonly<Record<ChainKind, Evidence>> = {
  "settlement.x402": contradiction("settlement", "settlement_not_on_chain"),
  "inclusion.merkle": contradiction("inclusion", "inclusion_not_on_chain"),
};
const NOT_CONFIRMED: Outstanding = {
  layer: "inclusion",
  status: "pending",
  code: "inclusion_not_confirmed",
  note: "",
  holdsVerdict: true,
};
