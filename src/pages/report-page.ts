import type { PlacedToken } from "../chain/money-text.ts";
import type { Decision } from "../receipts/decision-schema.ts";
import { LAYERS, type Appraisal, type Verdict } from "../receipts/schema.ts";
import { readFacts, type Facts } from "../verify/facts.ts";
import type { Difference, JudgedReport } from "../verify/verify-report.ts";
import { html, type Html } from "./html.ts";
import { pageOf } from "./page.ts";
import { said } from "./parts.ts";
import { reachText } from "./report-reach.ts";
import { receiptArticle } from "./receipt-page.ts";

/** The knowledge of a report's reader. */
export type ReportReader = {
  /** The judge, by the reader's name for it. */
  judgedBy: string;
  /** Whether the policy knows a seller. */
  knows: (sellerId: string) => boolean;
  /** The names of tokens that the reader knows. */
  tokens?: readonly PlacedToken[];
};

const VERDICTS: Readonly<Record<Verdict, string>> = {
  verified: "The log is whole, and every receipt of every decision is verified.",
  pending: "Nothing failed so far. Evidence of some receipts is still to come.",
  failed: "The report or a receipt in it failed a check. The problems below say which.",
  unverified: "Some decision is not shown to rest on verified receipts. Treat it as unproven.",
};

/** A judged report as a page of its own: it needs no script and loads nothing. */
export const reportPage = async (judged: JudgedReport, reader: ReportReader): Promise<string> =>
  pageOf({
    title: `Decisions ${judged.report.period.from} to ${judged.report.period.to}: ${judged.verdict}`,
    body: html`<main>${await reportArticle(judged, reader)}</main>`,
  });

/** A report for an auditor: its verdict, what is wrong with it, each decision, and each receipt with its checks. */
export async function reportArticle(judged: JudgedReport, reader: ReportReader): Promise<Html> {
  const { report, verdict, simulated, problems, decisions, receipts, leftOut, head } = judged;
  const { period, purpose, made, chain, others } = report;
  const lacking = receipts.filter(({ missing }) => missing.length > 0);
  const views = await Promise.all(receipts.map(async (one) => ({ ...one, facts: await readFacts(one.receipt) })));
  const found = new Map(receipts.map(({ receipt, appraisal }) => [receipt.id, appraisal] as const));
  const first = (chain.before?.seq ?? 0) + 1;
  return html`<article class="report">
    <h1 class="${verdict}">Decisions: ${verdict.toUpperCase()}${simulated ? " (simulated hardware)" : ""}</h1>
    <p><strong>${VERDICTS[verdict]}</strong></p>
    <dl>
      <dt>Period</dt>
      <dd><time>${period.from}</time> until before <time>${period.to}</time></dd>
      <dt>Purpose</dt>
      <dd>
        ${purpose === null ? "every purpose" : said(purpose)}${others.length === 0 ? "" : html`; ${others.length} decisions of other purposes are left out, as the log shows: ${leftOut.map((one) => html`${one.decisions} of ${said(JSON.stringify(one.purpose))} `)}`}
      </dd>
      ${
        lacking.length === 0
          ? html``
          : html`<dt>Left out of receipts</dt>
              <dd>
                ${lacking.map(({ receipt, missing }) => html`the body of the ${missing.join(" and ")} of <code>${receipt.id}</code> `)}
              </dd>`
      }
      <dt>Made</dt>
      <dd><time>${made.at}</time> by ${said(made.by.name)} ${said(made.by.version)}</dd>
      <dt>Judged by</dt>
      <dd>${said(reader.judgedBy)}</dd>
      <dt>The log</dt>
      <dd>
        ${chain.entries.length === 0 ? "No entry" : `Entries ${first} to ${head.seq}`}, head <code>${head.hash}</code>.
        ${reachText(judged)}
      </dd>
    </dl>
    ${
      problems.length === 0
        ? html``
        : html`<section>
            <h2>Problems</h2>
            <ul>
              ${problems.map(({ code, message }) => html`<li>${said(message)} <code>${code}</code></li>`)}
            </ul>
          </section>`
    }
    <section>
      <h2>Decisions</h2>
      ${
        decisions.length === 0
          ? html`<p>None.</p>`
          : html`${overview(decisions, found)} ${decisions.map((one, at) => decisionOf(one, { number: at + 1, found }))}`
      }
    </section>
    <section>
      <h2>Receipts</h2>
      ${views.map((view) => receiptOf(view, reader))}
    </section>
    <p>
      This page proves nothing by itself. The report's file does: verify it again with
      <code>proof402 verify report.json --trust trust.json</code>.
    </p>
  </article>`;
}

type Judged = JudgedReport["decisions"][number];
type Found = ReadonlyMap<string, Appraisal>;

const overview = (decisions: readonly Judged[], found: Found): Html =>
  html`<table>
    <caption>
      All decisions, in the order of the log
    </caption>
    <thead>
      <tr>
        <th scope="col">Number</th>
        <th scope="col">About</th>
        <th scope="col">Outcome</th>
        <th scope="col">Decided by</th>
        <th scope="col">Receipts</th>
      </tr>
    </thead>
    <tbody>
      ${decisions.map(
        ({ decision }, at) =>
          html`<tr>
            <td><a href="#${decision.id}">${at + 1}</a></td>
            <th scope="row">${said(decision.subject)}</th>
            <td>${said(decision.outcome)}</td>
            <td>${whoOf(decision)}</td>
            <td>${decision.receipts.map(({ id }) => html`${verdictOf(found.get(id))} `)}</td>
          </tr>`,
      )}
    </tbody>
  </table>`;

function decisionOf({ decision, differences }: Judged, { number, found }: { number: number; found: Found }): Html {
  const { id, at, purpose, subject, action, outcome, receipts } = decision;
  return html`<section class="decision" id="${id}">
    <h3>${number}. ${said(subject)}</h3>
    <dl>
      <dt>Decided</dt>
      <dd><time>${at}</time> by ${whoOf(decision)}</dd>
      <dt>Purpose</dt>
      <dd>${said(purpose)}</dd>
      <dt>Action</dt>
      <dd><pre tabindex="0">${JSON.stringify(action, null, 2)}</pre></dd>
      <dt>Outcome</dt>
      <dd class="lines">${said(outcome)}</dd>
      ${receipts.map((one) => {
        const now = found.get(one.id);
        return html`<dt>Rests on receipt</dt>
          <dd>
            <a href="#${one.id}"><code>${one.id}</code></a
            >: ${verdictOf(now)} now, ${said(one.verdict)} when it was decided, assurance
            ${said(one.assurance)}${one.simulated ? " (simulated hardware)" : ""} then, under the policy
            <code>${one.policyHash}</code>. ${now === undefined ? "" : layersOf(now)}
          </dd>`;
      })}
      <dt>Decision</dt>
      <dd><code>${id}</code></dd>
    </dl>
    ${
      differences.length === 0
        ? html``
        : html`<ul>
            ${differences.map((one) => html`<li>${differenceOf(one)}</li>`)}
          </ul>`
    }
  </section>`;
}

const LATER = " (evidence came after the decision)";

/** A difference in one sentence. */
export const differenceText = ({ receipt, field, recorded, found, isNotice }: Difference): string =>
  `Receipt ${receipt}: ${field} recorded as ${recorded}, found ${found}${isNotice ? LATER : ""}.`;

const differenceOf = ({ receipt, field, recorded, found, isNotice }: Difference): Html =>
  html`Receipt ${receipt}: ${field} recorded as ${said(recorded)}, found ${said(found)}${isNotice ? LATER : ""}.`;

const verdictOf = (appraisal: Appraisal | undefined): Html =>
  appraisal === undefined
    ? html`<span class="failed">not readable</span>`
    : html`<span class="${appraisal.verdict}">${appraisal.verdict}</span>`;

/** The layers by their status. */
function layersOf({ layers }: Appraisal): string {
  const statuses = [...new Set(LAYERS.map((layer) => layers[layer].status))];
  const words = statuses.map(
    (status) => `${status}: ${LAYERS.filter((layer) => layers[layer].status === status).join(", ")}`,
  );
  return `Layers ${words.join("; ")}.`;
}

function whoOf({ by: { person, second, program } }: Decision): Html {
  if (person === null) return program === null ? html`a program without a name` : html`the program ${said(program)}`;
  return html`${said(person)}${second === null ? "" : html` and ${said(second)}`}${program === null ? "" : html`, with the program ${said(program)}`}`;
}

type View = JudgedReport["receipts"][number] & { facts: Facts };

const receiptOf = ({ receipt, appraisal, facts }: View, { judgedBy, knows, tokens = [] }: ReportReader): Html =>
  receiptArticle({ receipt, appraisal, facts, judgedBy, tokens, known: knows(receipt.core.seller.id), isPart: true });
