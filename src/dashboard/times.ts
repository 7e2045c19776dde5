import { sql } from "kysely";
import { html } from "../pages/html.ts";
import { IS_IMPORTED } from "../receipts/imported.ts";
import type { Db } from "../storage/database.ts";
import { foreign, moment, table, type Shown, type View } from "./view.ts";

/** Receipts that are looked at. */
const NEWEST = 200;

type Timed = { id: string; seller: string; model: string; sent: number; answered: number; checked: number | null };

/** How long answers took, and how long after the request their verdict was final, of the newest bought receipts. */
export async function timesPage({ db, at }: View): Promise<Shown> {
  const all = await readTimes(db);
  const sellers = [...new Set(all.map(({ seller }) => seller))].toSorted();
  const rows = sellers.map((seller) => {
    const own = all.filter((one) => one.seller === seller);
    const checked = own.flatMap(({ sent, checked: end }) => (end === null ? [] : [end - sent]));
    return html`<tr>
      <th scope="row">${foreign(seller)}</th>
      <td class="sum">${secondsText(median(own.map(({ sent, answered }) => answered - sent)))}</td>
      <td class="sum">${secondsText(median(checked))}</td>
      <td class="sum">${checked.length} of ${own.length}</td>
    </tr>`;
  });
  const points = JSON.stringify(
    all.map(({ sent, answered, checked }) => [
      sent / 1000,
      (answered - sent) / 1000,
      checked === null ? null : (checked - sent) / 1000,
    ]),
  );
  const list = all.toReversed().map(
    ({ id, seller, model, sent, answered, checked }) =>
      html`<tr>
        <td><a href="${at}/receipts/${id}">${moment(sent)}</a></td>
        <td class="sum">${secondsText(answered - sent)}</td>
        <td class="sum">${checked === null ? "not yet" : secondsText(checked - sent)}</td>
        <td>${foreign(seller)}</td>
        <td>${foreign(model)}</td>
      </tr>`,
  );
  return {
    title: "Times",
    body: html`<p>
        An answer can be used with its risk once it is there, and without once it is checked. Checked is the time of the
        first verdict after <em>pending</em>; both count from the request, by this machine's clock.
      </p>
      <p id="live" role="status"></p>
      ${
        all.length === 0
          ? html`<p>No receipts are stored.</p>`
          : html`<figure data-chart="points" data-points="${points}" data-unit="s">
                <figcaption>
                  Seconds from the request to the answer, and to the verdict, of the newest ${all.length} receipts
                </figcaption>
                <details>
                  <summary>As a table</summary>
                  ${table("Times of the newest receipts", ["Asked", "Answered after", "Checked after", "Seller", "Model"], list)}
                </details>
              </figure>
              ${table("Medians by seller", ["Seller", "Answered after", "Checked after", "Checked"], rows)}`
      }`,
  };
}

/** The newest receipts' times, the oldest of them first. */
async function readTimes(db: Db): Promise<Timed[]> {
  const { rows } = await sql<
    Record<"id" | "seller_id" | "model", string> & Record<"sent" | "answered" | "checked", string | null>
  >`
    select id, seller_id, model, json_extract(whole, '$.core.request.sentAt') as sent,
      json_extract(whole, '$.core.response.receivedAt') as answered,
      (select json_extract(value, '$.at') from json_each(whole, '$.appraisals')
        where json_extract(value, '$.verdict') <> 'pending' order by key limit 1) as checked
    from (select id, seller_id, model, iif(json_valid(json), json, '{}') as whole from receipts
      where not ${IS_IMPORTED} order by created_at desc, id limit ${NEWEST}) as newest`.execute(db);
  const time = (text: string | null): number => Date.parse(text ?? "");
  return rows
    .map(({ id, seller_id: seller, model, sent, answered, checked }) => {
      const end = time(checked);
      return { id, seller, model, sent: time(sent), answered: time(answered), checked: Number.isNaN(end) ? null : end };
    })
    .filter(({ sent, answered }) => !Number.isNaN(sent) && !Number.isNaN(answered))
    .toReversed();
}

function median(values: readonly number[]): number | null {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null;
}

const secondsText = (ms: number | null): string => (ms === null ? "" : `${(ms / 1000).toFixed(ms < 10_000 ? 2 : 0)} s`);
