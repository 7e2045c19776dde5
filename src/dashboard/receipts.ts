import { html, type Html } from "../pages/html.ts";
import { importedAmong } from "../receipts/imported.ts";
import { newestAppraisal } from "../receipts/newest.ts";
import { ASSURANCES, VERDICTS } from "../receipts/schema.ts";
import { receiptsAfter, shortId, type Place, type ReceiptFilter } from "../receipts/search.ts";
import { readReceiptRow } from "../receipts/store.ts";
import { paidSum, summarize, type ReceiptSummary } from "../tools/summary.ts";
import { badge, foreign, moment, table, waysOn, type Shown, type View } from "./view.ts";

/** Receipts on one page, and the most that an address may ask for. */
const PAGE = 50;
const MOST = 1000;

const FIELDS = ["search", "verdict", "seller", "model", "assurance", "since", "before"] as const;

/** Stored receipts, the newest first, page by page. */
export async function receiptsPage(view: View, query: URLSearchParams): Promise<Shown> {
  const { db, config, at } = view;
  const limit = Math.min(Math.max(Number.parseInt(query.get("limit") ?? "", 10) || PAGE, 1), MOST);
  const after = placeIn(query.get("after"));
  const found = await receiptsAfter(db, filterIn(query), { after, limit: limit + 1 });
  const shown = found.slice(0, limit);
  const last = shown.at(-1);
  const rows: Html[] = [];
  const imported = await importedAmong(
    db,
    shown.map(({ id }) => id),
  );
  for (const listed of shown)
    rows.push(rowOf(at, { ...listed, isImported: imported.has(listed.id) }, await summaryOf(view, listed)));
  const kept = new URLSearchParams(FIELDS.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])));
  if (limit !== PAGE) kept.set("limit", String(limit));
  const more = new URLSearchParams(kept);
  if (last !== undefined) more.set("after", `${last.created_at}.${last.id}`);
  return {
    title: "Receipts",
    body: html`${filtersFor(
        query,
        at,
        config.sellers.map(({ id }) => id),
      )}
      <p><a href="${at}/receipts.csv?${kept.toString()}" download>These receipts as CSV</a></p>
      ${kept.has("search") ? html`<p>Parts of ids, and purposes of actions, are searched in the newest 10,000; the CSV looks at all.</p>` : ""}
      <p id="live" role="status"></p>
      <div data-live="${after === null ? "receipts" : "verdicts"}">
        ${
          shown.length === 0
            ? html`<p>${kept.size === 0 ? "No receipts are stored." : "No receipt fits."}</p>`
            : inTables(rows)
        }
      </div>
      ${waysOn("receipts", {
        newest: after === null ? null : `${at}/receipts?${kept.toString()}`,
        older: found.length > limit ? `${at}/receipts?${more.toString()}` : null,
      })}`,
  };
}

/** So many tables that a browser lays out only those in sight: one of 1,000 rows keeps its reader waiting. */
const inTables = (rows: readonly Html[]): Html[] =>
  Array.from({ length: Math.ceil(rows.length / PAGE) }, (_, nth) => {
    const part = rows.slice(nth * PAGE, (nth + 1) * PAGE);
    const place = rows.length <= PAGE ? "" : `, ${nth * PAGE + 1} to ${nth * PAGE + part.length}`;
    const heads = ["Answered", "Verdict", "Assurance", "Paid", "Seller", "Model", "Receipt"];
    return html`<div class="lazy">${table(`Receipts, the newest first${place}`, heads, part)}</div>`;
  });

/** The filters of an address. What cannot be read bounds nothing. */
export function filterIn(query: URLSearchParams): ReceiptFilter {
  const text = (name: string): string | undefined => query.get(name)?.trim().slice(0, 200) || undefined;
  const day = (name: string): Date | undefined => {
    const written = text(name);
    const time = written === undefined ? Number.NaN : Date.parse(written);
    return Number.isNaN(time) ? undefined : new Date(time);
  };
  return {
    search: text("search"),
    seller: text("seller"),
    model: text("model"),
    verdict: VERDICTS.find((one) => one === query.get("verdict")),
    assurance: ASSURANCES.find((one) => one === query.get("assurance")),
    since: day("since"),
    before: day("before"),
  };
}

/** The place that a page's last receipt has in the list. */
function placeIn(text: string | null): Place | null {
  const [, at, id] = /^(\d{1,15})\.(p402_[a-z2-7]{1,52})$/.exec(text ?? "") ?? [];
  return at === undefined || id === undefined ? null : { created_at: Number(at), id };
}

/** Null for a row that is no receipt any more. */
const summaryOf = async ({ db, config }: View, { id }: Place): Promise<ReceiptSummary | null> => {
  const receipt = await readReceiptRow(db, id).catch(() => null);
  return receipt === null ? null : summarize(receipt, newestAppraisal(receipt), config.payment.assets);
};

const rowOf = (at: string, listed: Place & { isImported: boolean }, summary: ReceiptSummary | null): Html =>
  html`<tr data-receipt="${listed.id}">
    <td>${moment(summary?.at ?? listed.created_at)}</td>
    <td>${summary === null ? badge("damaged") : verdictOf(summary)}</td>
    <td>${summary?.assurance ?? ""}</td>
    <td class="sum">${summary === null ? html`run <code>proof402 audit</code>` : sumOf(summary)}</td>
    <td>${foreign(summary?.seller ?? "")}</td>
    <td>${foreign(summary?.model ?? "")}</td>
    <td>
      <a href="${at}/receipts/${listed.id}">${shortId(listed.id)}</a
      >${listed.isImported ? html` ${badge("imported")}` : ""}
    </td>
  </tr>`;

const verdictOf = ({ verdict, simulated }: ReceiptSummary): Html =>
  html`${badge(verdict)}${simulated ? " (simulated hardware)" : ""}`;

const sumOf = ({ paid }: ReceiptSummary): string =>
  paid.state === "expired"
    ? "nothing"
    : `${paid.state === "authorized" && paid.atMost !== true ? "at most " : ""}${paidSum(paid)}`;

function filtersFor(query: URLSearchParams, at: string, sellers: readonly string[]): Html {
  const given = (name: string): string => query.get(name) ?? "";
  const choice = (name: string, label: string, all: readonly string[]): Html =>
    html`<label
      >${label}
      <select name="${name}">
        <option value="">any</option>
        ${all.map((one) => html`<option${given(name) === one ? html` selected` : ""}>${one}</option>`)}
      </select>
    </label>`;
  const field = (name: string, label: string, type: string): Html =>
    html`<label>${label} <input type="${type}" name="${name}" value="${given(name)}" maxlength="200" /></label>`;
  const [seller] = [given("seller")];
  return html`<form class="filters" method="get" action="${at}/receipts" role="search" aria-label="Receipts">
    ${field("search", "Search", "search")} ${choice("verdict", "Verdict", VERDICTS)}
    ${choice("seller", "Seller", seller === "" || sellers.includes(seller) ? sellers : [...sellers, seller])}
    ${field("model", "Model", "text")} ${choice("assurance", "Assurance", ASSURANCES)}
    ${field("since", "From (UTC)", "date")} ${field("before", "Before (UTC)", "date")}
    <button>Show</button>
  </form>`;
}
