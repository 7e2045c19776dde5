import type { PlacedToken } from "../chain/money-text.ts";
import { fromBase64 } from "../evidence/bytes.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { isPaymentOnlyTold, paidAmount } from "../receipts/paid.ts";
import { LAYERS, type Appraisal, type Layer, type Receipt } from "../receipts/schema.ts";
import type { Facts } from "../verify/facts.ts";
import { evidenceRows } from "./evidence-rows.ts";
import { factRows, type FactRow } from "./fact-rows.ts";
import { heading, html, type Html } from "./html.ts";
import { bearsOn, evidenceOfLayer } from "./layers.ts";
import { pageOf } from "./page.ts";
import { cut, dataBox, layerLine, limitsOf, priceText, said, verdictOf, VERDICTS } from "./parts.ts";
import { momentsOf, timeLine } from "./time-line.ts";

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

/** A receipt as a page of its own: it needs no script and loads nothing. */
export const receiptPage = (view: ReceiptView): string =>
  pageOf({
    title: `Receipt ${view.receipt.id}: ${view.appraisal.verdict}`,
    body: html`<main>${receiptArticle(view)}</main>`,
  });

/** A receipt for a person: the story, each check with its evidence, the limits, the facts, and the times. */
export function receiptArticle(view: ReceiptView): Html {
  const { receipt, appraisal, facts, known, judgedBy } = view;
  const { core } = receipt;
  const isPart = view.isPart === true;
  const part = (words: string): Html => heading(isPart ? 4 : 2, words);
  const unknown =
    "Nothing pinned was checked: no trust file or configuration that knows this seller was given. What stands below are facts that hold for this file under any policy, and what the file tells.";
  const because = known ? {} : { because: `${appraisal.verdict === "failed" ? `${VERDICTS.failed} ` : ""}${unknown}` };
  const isTold = appraisal.verdict !== "verified";
  const rows = factRows(facts);
  return html`<article id="${receipt.id}">
    ${verdictOf(appraisal, { level: isPart ? 3 : 1, ...because })}
    <p>
      Receipt <code>${receipt.id}</code>. Assurance reached: ${appraisal.assurance}; asked for: ${appraisal.wanted}.
      Judged by ${said(judgedBy)}, as of <time>${appraisal.evaluatedAt}</time>, under the policy
      <code>${appraisal.policyHash}</code>.
    </p>
    <section>
      ${part("What happened")} ${isTold ? html`<p>The file tells the following. The checks below say how far it holds.</p>` : ""}
      <p>
        ${said(core.seller.id)} sold one inference of ${said(core.request.model)} to the wallet
        <code>${core.payment.payer}</code>.
      </p>
      <dl>
        <dt>Seller</dt>
        <dd>${said(core.seller.id)}, at ${said(core.seller.origin)}</dd>
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
        ${LAYERS.map((layer) => checkOf(layer, view, rows))}
      </ol>
    </section>
    <section>${part("What this does not prove")} ${limitsOf(appraisal.notProven)}</section>
    <section>${part("Times")} ${timeLine(momentsOf(receipt, appraisal, facts))}</section>
    <section>
      ${part("Facts")}
      <details${known ? "" : OPEN}>
        <summary>Hold for this file under any policy, and are no verdict</summary>
        ${rowList(rows)}
      </details>
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

/** Opens a box that a reader must not miss, also on paper from a browser that prints closed boxes closed. */
const OPEN: Html = { markup: " open" };

/** One layer: its status and reason, and behind it the evidence, first what a reader compares, then as the file holds it. */
function checkOf(layer: Layer, { appraisal, receipt }: ReceiptView, facted: readonly FactRow[]): Html {
  const { status, code, note } = appraisal.layers[layer];
  const evidence = evidenceOfLayer(layer, receipt);
  const rows = [...facted.filter(({ name }) => bearsOn(name, layer)), ...evidence.flatMap(evidenceRows)];
  const { offer, payment } = receipt.core;
  const raw: unknown = layer === "payment" ? { offer, payment } : evidence;
  const isBare = layer !== "payment" && evidence.length === 0;
  return html`<li>
    <details${status === "fail" ? OPEN : ""}>
      <summary>${layerLine(layer, { status, note })}</summary>
      <p>Layer <code>${layer}</code>, code <code>${code}</code>.${rows.length === 0 && isBare ? " The file holds no evidence of it." : ""}</p>
      ${rowList([...rows, ...(layer === "response" ? [{ name: "HTTP status", words: String(receipt.core.response.status) }] : [])])}
      ${isBare ? "" : html`<pre tabindex="0">${cut(JSON.stringify(raw, inShort, 2))}</pre>`}
    </details>
  </li> `;
}

const rowList = (rows: readonly FactRow[]): Html =>
  rows.length === 0
    ? html``
    : html`<dl class="rows">
        ${rows.map(
          ({ name, words }) =>
            html`<dt>${name}</dt>
              <dd>${words}</dd>`,
        )}
      </dl>`;

/** Most characters of one text in evidence: documents and proofs are for programs. Their hashes stand above. */
const MAX_TEXT = 400;

const inShort = (_name: string, value: unknown): unknown =>
  typeof value === "string" && value.length > MAX_TEXT
    ? `${value.slice(0, MAX_TEXT).toWellFormed()}... (${value.length} characters)`
    : value;

function priceOf({ receipt, appraisal, tokens = [] }: ReceiptView): string {
  const { payment, offer } = receipt.core;
  return priceText(paidAmount(receipt), {
    token: tokens.find(({ network, asset }) => network === payment.network && asset === payment.asset),
    told: isPaymentOnlyTold(appraisal),
    place: { ...payment, decimals: offer.decimals },
  });
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

const valueOf = (value: unknown): Html => dataBox(JSON.stringify(value, inText, 2));

/** Numbers that JSON does not have, as text. */
const inText = (_name: string, value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : value;
