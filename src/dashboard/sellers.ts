import { sql, type Selectable } from "kysely";
import { releaseHold, viewSellers } from "../buyer/holds.ts";
import type { SellerView } from "../buyer/types.ts";
import { chainName, sumText } from "../chain/money-text.ts";
import { toHex } from "../evidence/bytes.ts";
import { canonicalSha256 } from "../evidence/canonical.ts";
import { html, type Html } from "../pages/html.ts";
import { findAsset } from "../payment/policy.ts";
import { IS_IMPORTED } from "../receipts/imported.ts";
import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { SellerHoldsTable } from "../storage/tables.ts";
import { breakSeal, sealFor } from "./sessions.ts";
import { foreign, moment, table, type Shown, type View } from "./view.ts";

/** Receipts and purchases that the figures are of. */
const NEWEST = 10_000;
const NEWEST_PRICES = 1000;

/** Every configured seller with its verdicts, its last prices, and the reason of its hold. */
export async function sellersPage(view: View, told: Html = html``): Promise<Shown> {
  const { db, config, at } = view;
  const [sellers, counts, prices] = await Promise.all([
    viewSellers(db, config.sellers),
    readCounts(db),
    readPrices(view),
  ]);
  const holds: Html[] = [];
  for (const one of sellers) if (one.hold !== null) holds.push(await holdOf(view, one, one.hold));
  const rows = sellers.map(({ id, origin, assurance, hold }) => {
    const verdicts = counts.get(id) ?? new Map<string, number>();
    const total = [...verdicts.values()].reduce((sum, count) => sum + count, 0);
    const ofVerdict = (verdict: string): Html => {
      const count = verdicts.get(verdict) ?? 0;
      const query = new URLSearchParams({ seller: id, verdict }).toString();
      return count === 0 ? html`0` : html`<a href="${at}/receipts?${query}">${count}</a>`;
    };
    return html`<tr>
      <th scope="row">${id}</th>
      <td>${origin ?? "by its registry"}</td>
      <td>${assurance}</td>
      <td>${hold === null ? "ready" : html`<strong class="fail">on hold</strong>`}</td>
      <td class="sum">${total}</td>
      <td class="sum">${ofVerdict("verified")}</td>
      <td class="sum">${ofVerdict("pending")}</td>
      <td class="sum">${ofVerdict("unverified")}</td>
      <td class="sum">${ofVerdict("failed")}</td>
      <td>${(prices.get(id) ?? []).map((price) => html`<div>${price}</div>`)}</td>
    </tr>`;
  });
  return {
    title: "Sellers",
    body: html`${told}
      <p id="live" role="status"></p>
      <div data-live="sellers">
        ${
          sellers.length === 0
            ? html`<p>No seller is configured. Add one with <code>proof402 sellers add URL</code>.</p>`
            : table(
                `Configured sellers; verdicts of the newest ${NEWEST} bought receipts, prices of the newest ${NEWEST_PRICES} purchases`,
                [
                  "Seller",
                  "Place",
                  "Evidence",
                  "State",
                  "Receipts",
                  "Verified",
                  "Pending",
                  "Unverified",
                  "Failed",
                  "Last price",
                ],
                rows,
              )
        }
      </div>
      ${holds}`,
  };
}

/** Verdicts by seller of what this buyer bought. */
async function readCounts(db: Db): Promise<Map<string, Map<string, number>>> {
  const { rows } = await sql<{ seller_id: string; verdict: string; count: number }>`
    select seller_id, verdict, count(*) as count from (select seller_id, verdict from receipts
      where not ${IS_IMPORTED} order by created_at desc, id limit ${NEWEST}) as newest group by seller_id, verdict`.execute(
    db,
  );
  const counts = new Map<string, Map<string, number>>();
  for (const { seller_id: seller, verdict, count } of rows)
    counts.set(seller, (counts.get(seller) ?? new Map<string, number>()).set(verdict, count));
  return counts;
}

/** What was last asked for each model of a seller, as it was offered. */
async function readPrices({ db, config }: View): Promise<Map<string, Html[]>> {
  const newest = await db
    .selectFrom("purchases")
    .select(["seller_id", "model", "network", "asset", "amount"])
    .where("share", "is", null)
    .orderBy("created_at", "desc")
    .limit(NEWEST_PRICES)
    .execute();
  const prices = new Map<string, Html[]>();
  const seen = new Set<string>();
  for (const { seller_id: seller, model, amount, ...place } of newest) {
    const name = JSON.stringify([seller, model]);
    if (seen.has(name)) continue;
    seen.add(name);
    const sum = sumText(amount, findAsset(place, config.payment.assets), place);
    prices.set(seller, [
      ...(prices.get(seller) ?? []),
      html`${foreign(model, 60)}: ${sum} on ${chainName(place.network)}`,
    ]);
  }
  return prices;
}

async function holdOf(view: View, { id }: SellerView, hold: NonNullable<SellerView["hold"]>): Promise<Html> {
  const { at, db, allowApprovals } = view;
  const command = html`<code>proof402 sellers release ${id}</code>`;
  const row = await readHold(db, id);
  const by =
    hold.receiptId === null
      ? hold.callKey === null
        ? ""
        : html`The call <code>${hold.callKey}</code> shows it.`
      : html`<a href="${at}/receipts/${hold.receiptId}">Its receipt</a> shows it.`;
  return html`<section>
    <h2>${id} is on hold</h2>
    <p>Since ${moment(hold.since)}: ${foreign(hold.reason)}. ${by}</p>
    <p>Only if you still trust it, buy from it again after ${command}. Its next failure puts it on hold again.</p>
    ${row === undefined || !allowApprovals ? "" : formFor(view, row)}
  </section>`;
}

const readHold = (db: Db, id: string): Promise<Selectable<SellerHoldsTable> | undefined> =>
  db
    .selectFrom("seller_holds")
    .selectAll()
    .where("seller_id", "=", id)
    .where("released_at", "is", null)
    .executeTakeFirst();

const digestOf = (row: Selectable<SellerHoldsTable>): string => toHex(canonicalSha256(row));
const purposeOf = (id: string, shown: string): string => `release ${id} ${shown}`;

function formFor({ at, session, now }: View, row: Selectable<SellerHoldsTable>): Html {
  const shown = digestOf(row);
  return html`<form class="answer" method="post" action="${at}/sellers/${row.seller_id}/release">
    <input type="hidden" name="shown" value="${shown}" />
    <input type="hidden" name="seal" value="${sealFor(session, purposeOf(row.seller_id, shown), now)}" />
    <button name="answer" value="release">Release ${row.seller_id}</button>
  </form>`;
}

/** Releases a seller, if it is still held for what the page showed. Null once it is done. */
export async function releaseSeller(view: View, id: string, form: URLSearchParams): Promise<Shown | null> {
  const shown = form.get("shown") ?? "";
  const seal = breakSeal(view.session, purposeOf(id, shown), form.get("seal") ?? "", view.now);
  const done =
    seal === "good" &&
    (await immediate(view.db, async (tx) => {
      const row = await readHold(tx, id);
      return row !== undefined && digestOf(row) === shown && (await releaseHold(tx, id, view.now));
    }));
  if (done) return null;
  const words =
    seal === "good"
      ? "The hold is not as the page showed it any more. Nothing was released by this form: read it again."
      : seal === "used"
        ? "This form was sent before. It does nothing again."
        : "The form is not of this session, or older than an hour. Nothing was released by it.";
  const page = await sellersPage(view, html`<p class="warn" role="alert">${words}</p>`);
  return { ...page, status: seal === "wrong" ? 403 : 409 };
}
