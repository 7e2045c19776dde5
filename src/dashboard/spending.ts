import { viewPurchases } from "../buyer/spending.ts";
import { formatUnits } from "../chain/amounts.ts";
import { chainName, moneyText, sumText } from "../chain/money-text.ts";
import { html, type Html } from "../pages/html.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import { spending } from "../payment/spending.ts";
import type { AssetSpending } from "../payment/types.ts";
import { purchasesAfter, type PurchasePlace } from "../tables/purchases.ts";
import { shortId } from "../receipts/search.ts";
import type { Db } from "../storage/database.ts";
import { badge, foreign, moment, table, waysOn, type Shown, type View } from "./view.ts";

const HOUR = 60 * 60_000;
const DAY = 24 * HOUR;
/** Hours and days that the charts show. */
const HOURS = 48;
const DAYS = 30;
const PAGE = 50;

/** Caps and what counts against them, over time, and the purchases, the newest first. */
export async function spendingPage({ db, config, at, now }: View, query: URLSearchParams): Promise<Shown> {
  const { assets, callsLastHour } = await spending(db, config.payment, new Date(now));
  const after = placeIn(query.get("after"));
  const found = await purchasesAfter(db, { after, limit: PAGE + 1 });
  const shown = await viewPurchases({ db, config }, found.slice(0, PAGE));
  const last = found.length > PAGE ? found[PAGE - 1] : undefined;
  const charts: Html[] = [];
  for (const one of assets) {
    const asset = findAsset(one, config.payment.assets);
    if (asset !== undefined) charts.push(await overTime(db, asset, now));
  }
  const rows = shown.map(
    (one) =>
      html`<tr>
        <td>${moment(one.at)}</td>
        <td>${badge(one.state)}${one.reason === null ? "" : html` <code>${one.reason}</code>`}</td>
        <td class="sum">${sumText(one.amount, findAsset(one, config.payment.assets), one)}</td>
        <td>${foreign(one.sellerId)}</td>
        <td>${foreign(one.model)}</td>
        <td>${one.verdict === null ? "" : badge(one.verdict)}</td>
        <td>
          ${one.receiptId === null ? foreign(one.idempotencyKey, 40) : html`<a href="${at}/receipts/${one.receiptId}">${shortId(one.receiptId)}</a>`}
        </td>
      </tr>`,
  );
  return {
    title: "Spending",
    body: html`<p id="live" role="status"></p>
      <div data-live="spending">
        ${assets.map(capsOf)}
        <p>${callsLastHour} of at most ${config.payment.callsPerHour} purchases in the last hour, over all tokens.</p>
      </div>
      ${charts}
      <h2>Purchases</h2>
      <p><a href="${at}/spending.csv" download>All purchases as CSV</a></p>
      ${
        rows.length === 0
          ? html`<p>The journal holds none${after === null ? "" : " before these"}.</p>`
          : table(
              "Purchases, the newest first; an amount before its settlement is the most that it can cost",
              ["Begun", "Payment", "Amount", "Seller", "Model", "Verdict", "Receipt or key"],
              rows,
            )
      }
      ${waysOn("purchases", {
        newest: after === null ? null : `${at}/spending`,
        older: last === undefined ? null : `${at}/spending?after=${last.createdAt}.${last.id}`,
      })}`,
  };
}

function placeIn(text: string | null): PurchasePlace | null {
  const [, at, id] = /^(\d{1,15})\.([\w-]{1,64})$/.exec(text ?? "") ?? [];
  return at === undefined || id === undefined ? null : { at: Number(at), id };
}

export const WINDOWS = { hour: "Any 60 minutes", day: "Any 24 hours", total: "All time" } as const;

function capsOf(one: AssetSpending): Html {
  const units = (amount: string): string => moneyText(amount, one);
  const rows = one.windows.map(
    ({ name, used, cap, remaining }) =>
      html`<tr>
        <th scope="row">${WINDOWS[name]}</th>
        <td class="sum">${units(used)}</td>
        <td class="sum">${units(cap)}</td>
        <td class="sum">${units(remaining)}</td>
        <td>
          <meter
            min="0"
            max="1"
            value="${shareOf(used, cap)}"
            aria-label="${WINDOWS[name]}: part of the cap that is used"
          ></meter>
        </td>
      </tr>`,
  );
  return html`<h2>${one.symbol} on ${chainName(one.network)}</h2>
    <p>
      Spent ${units(one.spent)}; reserved ${units(one.reserved)}, for payments that may still be used. At most
      ${units(one.perCall)} a purchase.
    </p>
    ${table(`Caps of ${one.symbol} on ${chainName(one.network)}`, ["Window", "Counted", "Cap", "Left", "Part"], rows)}`;
}

/** A part of one, for a picture alone. */
const shareOf = (used: string, cap: string): string =>
  cap === "0" ? "1" : Math.min(Number((BigInt(used) * 1000n) / BigInt(cap)) / 1000, 1).toString();

/** Sums that count against the caps, by hour and by day: tables for a script to draw. */
async function overTime(db: Db, asset: AssetPolicy, now: number): Promise<Html> {
  const first = Math.floor(now / DAY) * DAY - (DAYS - 1) * DAY;
  const hours = await db
    .selectFrom("spend")
    .select(["start", "used"])
    .where("network", "=", asset.network)
    .where("asset", "=", asset.asset)
    .where("span", "=", HOUR)
    .where("start", ">=", first)
    .orderBy("start")
    .execute();
  const sumFrom = (start: number, length: number): bigint =>
    hours.reduce((sum, one) => (one.start >= start && one.start < start + length ? sum + BigInt(one.used) : sum), 0n);
  const bars = (count: number, length: number): { start: number; used: bigint }[] => {
    const end = Math.floor(now / length) * length;
    return Array.from({ length: count }, (_, at) => {
      const start = end - (count - 1 - at) * length;
      return { start, used: sumFrom(start, length) };
    });
  };
  const name = `${asset.symbol} on ${chainName(asset.network)}`;
  return html`<h2>${name} over time</h2>
    <p>
      A bar is one clock hour or one day (UTC). A cap counts any 60 minutes or any 24 hours, so it is reached sooner.
    </p>
    ${chart(`${name} by hour, and the cap of an hour`, bars(HOURS, HOUR), { asset, cap: asset.perHour })}
    ${chart(`${name} by day, and the cap of a day`, bars(DAYS, DAY), { asset, cap: asset.perDay })}`;
}

function chart(
  caption: string,
  bars: readonly { start: number; used: bigint }[],
  { asset, cap }: { asset: AssetPolicy; cap: string },
): Html {
  const value = (amount: bigint | string): string => formatUnits(amount, asset.decimals);
  const rows = bars
    .filter(({ used }) => used !== 0n)
    .map(
      ({ start, used }) =>
        html`<tr>
          <td>${moment(start)}</td>
          <td class="sum">${moneyText(used, asset)}</td>
        </tr>`,
    );
  const points = JSON.stringify(bars.map(({ start, used }) => [start / 1000, Number(value(used))]));
  return html`<figure data-chart="bars" data-points="${points}" data-line="${value(cap)}" data-unit="${asset.symbol}">
    <figcaption>${caption}: ${moneyText(cap, asset)}</figcaption>
    <details>
      <summary>As a table</summary>
      ${rows.length === 0 ? html`<p>Nothing was spent in this time.</p>` : table(caption, ["From", "Counted"], rows)}
    </details>
  </figure>`;
}
