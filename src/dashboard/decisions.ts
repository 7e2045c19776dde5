import { html, type Html } from "../pages/html.ts";
import { decisionsAfter, findDecision, shortDecisionId, type DecisionPlace } from "../receipts/decisions.ts";
import type { Decision } from "../receipts/decision-schema.ts";
import { shortId } from "../receipts/search.ts";
import { badge, foreign, moment, table, waysOn, type Shown, type View } from "./view.ts";

const PAGE = 50;

/** Recorded decisions, the newest first, page by page. */
export async function decisionsPage({ db, at }: View, query: URLSearchParams): Promise<Shown> {
  const after = placeIn(query.get("after"));
  const found = await decisionsAfter(db, { after, limit: PAGE + 1 });
  const shown = found.slice(0, PAGE);
  const last = found.length > PAGE ? shown.at(-1) : undefined;
  const rows = shown.map(
    ({ decision: { id, at: made, purpose, subject, outcome, receipts, by } }) =>
      html`<tr>
        <td>${moment(made)}</td>
        <td>${foreign(purpose)}</td>
        <td>${foreign(subject, 80)}</td>
        <td>${foreign(outcome, 120)}</td>
        <td>
          ${receipts.length}: ${[...new Set(receipts.map(({ verdict }) => verdict))].map((one) => html`${badge(one)} `)}
        </td>
        <td>${whoOf(by)}</td>
        <td><a href="${at}/decisions/${id}">${shortDecisionId(id)}</a></td>
      </tr>`,
  );
  return {
    title: "Decisions",
    body: html`<p id="live" role="status"></p>
      <div data-live="decisions">
        ${
          rows.length === 0
            ? html`<p>No decisions are recorded: programs record them with <code>buyer.decide</code>.</p>`
            : table(
                "Decisions, the newest first",
                ["Made", "Purpose", "Subject", "Outcome", "Receipts", "By", "Decision"],
                rows,
              )
        }
      </div>
      ${waysOn("decisions", {
        newest: after === null ? null : `${at}/decisions`,
        older: last === undefined ? null : `${at}/decisions?after=${last.place.at}.${last.place.seq}`,
      })}`,
  };
}

function placeIn(text: string | null): DecisionPlace | null {
  const [, at, seq] = /^(\d{1,15})\.(\d{1,15})$/.exec(text ?? "") ?? [];
  return at === undefined || seq === undefined ? null : { at: Number(at), seq: Number(seq) };
}

/** One decision with its action and what it rests on. Throws Proof402Error as `findDecision`. */
export async function decisionPage({ db, at }: View, given: string): Promise<Shown> {
  const { id, at: made, purpose, subject, receipts, action, outcome, by } = await findDecision(db, given);
  const rows = receipts.map(
    (one) =>
      html`<tr>
        <td><a href="${at}/receipts/${one.id}">${shortId(one.id)}</a></td>
        <td>${badge(one.verdict)}${one.simulated ? " (simulated hardware)" : ""}</td>
        <td>${one.assurance}, asked for ${one.wanted}</td>
      </tr>`,
  );
  return {
    title: `Decision ${shortDecisionId(id)}`,
    body: html`<dl>
        <dt>Id</dt>
        <dd><code>${id}</code></dd>
        <dt>Made</dt>
        <dd>${moment(made)} by ${whoOf(by)}</dd>
        <dt>Purpose</dt>
        <dd>${foreign(purpose)}</dd>
        <dt>Subject</dt>
        <dd>${foreign(subject, 600)}</dd>
        <dt>Outcome</dt>
        <dd class="lines">${foreign(outcome, 4000)}</dd>
        <dt>Action</dt>
        <dd><pre tabindex="0">${foreign(JSON.stringify(action, null, 2), 20_000)}</pre></dd>
      </dl>
      ${table("Receipts that it rests on, as they were then", ["Receipt", "Verdict then", "Assurance then"], rows)}`,
  };
}

const whoOf = ({ person, second, program }: Decision["by"]): Html =>
  html`${person === null ? "" : foreign(person)}${second === null ? "" : html` and ${foreign(second)}`}${
    program === null ? (person === null ? "a program without a name" : "") : html` the program ${foreign(program)}`
  }`;
