import { Proof402Error } from "../errors.ts";
import type { QuorumTerms, Tolerance } from "../buyer/quorum/terms.ts";
import type { Buyer, BuyOptions, BuyRequest, ByQuorum, QuorumResult } from "../buyer/types.ts";
import { stepAfter } from "../tools/next.ts";
import { paidSum, summarize, VERDICT_WORDS } from "../tools/summary.ts";
import { colour as pc } from "./colour.ts";
import { inCommands } from "./next.ts";
import { note, print, printResult } from "./globals.ts";
import { VERDICT_COLOUR } from "./layer-table.ts";
import { shownJson } from "./quoted.ts";
import { inFull } from "./receipt-story.ts";

/** Reads `2/3` and tolerances such as `score=0.01` or `*=1%`. Throws Proof402Error `usage`. */
export function termsOf(quorum: string, tolerances: readonly string[]): QuorumTerms {
  const [, agree, of] = /^([1-9]\d?)\/([1-9]\d?)$/.exec(quorum) ?? [];
  if (agree === undefined || of === undefined)
    throw new Proof402Error("usage", "--quorum says how many of how many sellers have to agree.", {
      next: "Give it as 2/3.",
    });
  const tolerance = Object.fromEntries(tolerances.map(toleranceOf));
  return { of: Number(of), agree: Number(agree), ...(tolerances.length === 0 ? {} : { tolerance }) };
}

function toleranceOf(given: string): [string, Tolerance] {
  const [, name, digits, percent] = /^(.{1,128})=(\d+(?:\.\d+)?)(%?)$/u.exec(given) ?? [];
  if (name === undefined || digits === undefined)
    throw new Proof402Error("usage", "--tolerance names a tensor of the answer and how far its values may lie apart.", {
      next: "Give it as score=0.01, as score=1%, or as *=0.01 for all others.",
    });
  return [name, percent === "%" ? { relative: Number(digits) / 100 } : { absolute: Number(digits) }];
}

/** Buys from several sellers and prints one answer, or both sides. */
export async function buyByQuorum(
  buyer: Buyer,
  request: BuyRequest & ByQuorum,
  { options, json }: { options: BuyOptions; json: boolean },
): Promise<QuorumResult> {
  const result = await buyer.buy(request, options);
  const data = dataOf(result, buyer);
  if (json) printResult(data, data.next);
  else {
    print(textOf(result, data));
    note(data.next);
  }
  return result;
}

type Data = ReturnType<typeof dataOf>;

function dataOf(result: QuorumResult, { tokens }: Buyer) {
  const { verdict, code, answer, assurance, simulated, terms, idempotencyKey } = result;
  const side = ({ receipt, appraisal, answer: said }: QuorumResult["agreeing"][number]) => ({
    answer: said,
    receipt: summarize(receipt, appraisal, tokens),
  });
  const agreeing = result.agreeing.map(side);
  const [first] = agreeing;
  return {
    verdict,
    code,
    answer,
    assurance,
    simulated,
    quorum: terms,
    agreeing,
    dissenting: result.dissenting.map((one) => ({ why: one.why, ...side(one.result) })),
    unanswered: result.unanswered.map(({ sellerId, error }) => ({
      seller: sellerId,
      code: error.code,
      message: error.message,
      money: error.money ?? null,
    })),
    idempotencyKey,
    next:
      first === undefined
        ? "The sellers do not agree: act on no side. Look at both with: proof402 receipts show ID"
        : inCommands(stepAfter({ ...first.receipt, verdict })),
  };
}

function textOf({ verdict, code, answer, terms, agreeing }: QuorumResult, data: Data): string {
  const { of, agree } = terms;
  const said = VERDICT_COLOUR[verdict](verdict.toUpperCase());
  const head =
    code === null
      ? `${pc.bold(said)}: ${agreeing.length} of ${of} sellers agree. ${VERDICT_WORDS[verdict]}`
      : `${pc.bold(said)}: fewer than ${agree} of ${of} sellers agree [${code}]`;
  const row = (how: string, { answer: its, receipt }: Data["agreeing"][number]): string =>
    `  ${how.padEnd(11)} ${receipt.seller}: ${inFull(its)}, ${receipt.verdict}, assurance ${receipt.assurance}, ${paidSum(receipt.paid)}, receipt ${receipt.id}`;
  return [
    ...(answer === null ? [] : [`Answered  ${inFull(answer)} (the sellers' data)`]),
    head,
    `Assurance of the least: ${data.assurance}${data.simulated ? pc.yellow(" (SIMULATED hardware)") : ""}`,
    ...data.agreeing.map((one) => row("agrees", one)),
    ...data.dissenting.map((one) => row(one.why.replace("_", " "), one)),
    ...data.unanswered.map(
      ({ seller, code: why, message, money }) =>
        `  no answer   ${seller}: ${shownJson(message)} [${why}]${money === null ? "" : `, money ${money}`}`,
    ),
    `Idempotency key ${data.idempotencyKey}`,
  ].join("\n");
}
