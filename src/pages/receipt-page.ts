import { chainName, sumText, type PlacedToken } from "../chain/money-text.ts";
import { fromBase64 } from "../evidence/bytes.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { paidAmount } from "../receipts/paid.ts";
import { LAYERS, type Appraisal, type Layer, type Receipt, type Verdict } from "../receipts/schema.ts";
import type { Facts } from "../verify/facts.ts";
import { heading, html, type Html } from "./html.ts";
import { evidenceOfLayer, QUESTIONS } from "./layers.ts";
import { pageOf } from "./page.ts";

/** A judged receipt, and the knowledge of its reader. */
export type ReceiptView = {
  receipt: Receipt;
  appraisal: Appraisal;
  facts: Facts;
  /** Whether the policy knows the seller. Without that nothing pinned was checked. */
  known: boolean;
  /** The judge, by the reader's name for it. */
  judgedBy: string;
  /** The names of tokens that the reader knows. */
  tokens?: readonly PlacedToken[];
  /** Part of a page about more than this receipt. */
  isPart?: boolean;
};

/** Most characters of a body or of a layer's evidence on the page. The file holds all of it. */
const MAX_SHOWN = 20_000;

const VERDICTS: Readonly<Record<Verdict, string>> = {
  verified: "Every required check passed.",
  pending: "Nothing failed so far. Evidence is still to come.",
  failed: "A check failed. Do not act on this answer.",
  unverified: "Required evidence is missing. Treat the answer as unproven.",
};

/** A receipt as a page of its own: it needs no script and loads nothing. */
export const receiptPage = (view: ReceiptView): string =>
  pageOf({ title: `Receipt ${view.receipt.id}: ${view.appraisal.verdict}`, body: receiptArticle(view) });

/** A receipt for a person: the story, each check with its evidence, the limits, and the times. */
export function receiptArticle(view: ReceiptView): Html {
  const { receipt, appraisal, facts, known, judgedBy } = view;
  const { core } = receipt;
  const isPart = view.isPart === true;
  const title = `${appraisal.verdict.toUpperCase()}${appraisal.simulated ? " (simulated hardware)" : ""}`;
  const part = (words: string): Html => heading(isPart ? 4 : 2, words);
  const told =
    appraisal.verdict === "verified" ? "" : "The file tells the following. The checks below say how far it holds.";
  const nothing = known
    ? html`${VERDICTS[appraisal.verdict]}`
    : html`Nothing pinned was checked: no trust file or configuration that knows this seller was given. What stands
      below are facts that hold for this file under any policy, and what the file tells.`;
  return html`<article id="${receipt.id}">
    ${heading(isPart ? 3 : 1, title, appraisal.verdict)}
    <p><strong>${nothing}</strong></p>
    <p>
      Receipt <code>${receipt.id}</code>. Assurance reached: ${appraisal.assurance}; asked for: ${appraisal.wanted}.
      Judged by ${judgedBy}, as of <time>${appraisal.evaluatedAt}</time>.
    </p>
    <section>
      ${part("What happened")}
      <p>${told}</p>
      <dl>
        <dt>Seller</dt>
        <dd>${core.seller.id}, at ${core.seller.origin}</dd>
        <dt>Sold</dt>
        <dd>one inference of ${core.request.model}</dd>
        <dt>Buyer</dt>
        <dd>${core.payment.payer}</dd>
        <dt>Paid</dt>
        <dd>${priceOf(view)}, to ${core.payment.payTo}</dd>
        <dt>When</dt>
        <dd><time>${core.response.receivedAt}</time></dd>
        <dt>Asked</dt>
        <dd>${bodyOf(receipt, "request")}</dd>
        <dt>Answered (the seller's data)</dt>
        <dd>${bodyOf(receipt, "response")}</dd>
      </dl>
    </section>
    <section>
      ${part("Checks")}
      <ol class="layers">
        ${LAYERS.map((layer) => checkOf(layer, view))}
      </ol>
    </section>
    <section>
      ${part("What this does not prove")}
      <ul>
        ${appraisal.notProven.map((words) => html`<li>${words}</li>`)}
      </ul>
    </section>
    <section>
      ${part("Times")}
      <ol>
        ${timesOf(receipt, facts).map(({ at, what }) => html`<li><time>${at}</time> ${what}</li>`)}
      </ol>
    </section>
    ${
      isPart
        ? ""
        : html`<p>
            This page proves nothing by itself. The receipt's file does: verify it again with
            <code>proof402 verify</code>.
          </p>`
    }
  </article>`;
}

function checkOf(layer: Layer, { appraisal, receipt, facts }: ReceiptView): Html {
  const { status, code, note } = appraisal.layers[layer];
  const evidence = JSON.stringify(evidenceOfLayer(layer, receipt, facts), null, 2);
  return html`<li>
    <details>
      <summary><span class="${status}">${status}</span> ${QUESTIONS[layer]} <br />${note}</summary>
      <p>Layer <code>${layer}</code>, code <code>${code}</code>. Judged from:</p>
      <pre tabindex="0">${cut(evidence)}</pre>
    </details>
  </li> `;
}

function priceOf({ receipt, tokens = [] }: ReceiptView): string {
  const { payment, offer } = receipt.core;
  const { state, amount, atMost } = paidAmount(receipt);
  if (state === "expired") return "nothing: the authorization ended unused";
  const token = tokens.find(({ network, asset }) => network === payment.network && asset === payment.asset);
  const sum = `${atMost ? "at most " : ""}${sumText(amount, token, { ...payment, decimals: offer.decimals })}`;
  const place = token === undefined ? "" : ` on ${chainName(payment.network)}`;
  return `${sum}${place}${state === "settled" ? "" : ", not seen on the chain yet"}`;
}

function bodyOf({ core }: Receipt, part: "request" | "response"): Html {
  const { body } = core[part];
  if (body === undefined) return html`Left out of this file. Its hashes are in it.`;
  const format = formatOf(core.seller.provider);
  if (format === null) return html`In a form that this version does not know.`;
  const bytes = fromBase64(body);
  if (part === "request") {
    const input = format.readInput(bytes);
    return input === null ? html`Not readable by this version.` : valueOf(input);
  }
  const reading = format.readAnswer(bytes);
  return reading.readable
    ? valueOf(reading.answer)
    : html`Not readable by this version; conclude nothing from it. ${valueOf(reading.answer)}`;
}

const valueOf = (value: unknown): Html => html`<pre tabindex="0">${cut(JSON.stringify(value, inText, 2))}</pre>`;

/** Numbers that JSON does not have, as text. */
const inText = (_name: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;

const cut = (text: string): string =>
  text.length <= MAX_SHOWN
    ? text
    : `${text.slice(0, MAX_SHOWN)}\n... (${text.length} characters; the file holds all of it)`;

function timesOf({ core, later, appraisals }: Receipt, { times, platform }: Facts): { at: string; what: string }[] {
  const ofBlock = later.flatMap(({ evidence }) => {
    const { kind, blockTime } = evidence as { kind: string; blockTime?: unknown };
    if (typeof blockTime !== "number" || (kind !== "settlement.x402" && kind !== "inclusion.merkle")) return [];
    const what =
      kind === "settlement.x402"
        ? "the payment's block, as the file tells"
        : "the anchoring's block, as the file tells";
    return [{ at: iso(blockTime * 1000), what }];
  });
  return [
    ...(platform === null || platform.time === null
      ? []
      : [{ at: iso(platform.time), what: "the hardware signed its attestation (its clock)" }]),
    { at: times.sentAt, what: "the request was sent (the buyer's clock)" },
    ...(times.signedAt === null ? [] : [{ at: times.signedAt, what: "the seller signed the answer (its clock)" }]),
    { at: core.response.receivedAt, what: "the answer came (the buyer's clock)" },
    ...ofBlock,
    ...appraisals.map(({ at, verdict }) => ({ at, what: `the file's maker judged it ${verdict}` })),
  ].toSorted((a, b) => Date.parse(a.at) - Date.parse(b.at));
}

/** A document may be dated past what a `Date` can hold (ECMA-262 §21.4.1.1). */
const iso = (ms: number): string =>
  Number.isNaN(new Date(ms).getTime()) ? "an unreadable time" : new Date(ms).toISOString();
