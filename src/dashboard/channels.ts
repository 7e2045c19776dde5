import { chainName, sumText } from "../chain/money-text.ts";
import { html } from "../pages/html.ts";
import { leftOf } from "../payment/channels.ts";
import { findAsset } from "../payment/policy.ts";
import { badge, foreign, moment, table, type Shown, type View } from "./view.ts";

/** What became of a channel's rest, by its state. */
const REFUNDS = {
  opening: "its deposit was not seen on chain yet",
  open: "not asked for",
  closing: "asked for: take it once the channel's delay is over",
  closed: "taken back",
} as const;

/** The channels as the database notes them. No chain is read here. */
export async function channelsPage({ db, config }: View): Promise<Shown> {
  const channels = await db.selectFrom("channels").selectAll().orderBy("opened_at", "desc").limit(500).execute();
  const rows = channels.map((one) => {
    const units = (amount: string | bigint): string => sumText(amount, findAsset(one, config.payment.assets), one);
    return html`<tr>
      <td>${moment(one.opened_at)}</td>
      <th scope="row">${foreign(one.seller_id)}</th>
      <td>${chainName(one.network)}</td>
      <td>${badge(one.state)}</td>
      <td class="sum">${units(one.put_in ?? one.deposit)}</td>
      <td class="sum">${units(one.charged)}</td>
      <td class="sum">${one.state === "closed" ? "" : units(leftOf(one))}</td>
      <td>${REFUNDS[one.state]}</td>
      <td><code>${one.id}</code></td>
    </tr>`;
  });
  return {
    title: "Channels",
    body: html`<p>
        As this database noted them; the chain was not read. <code>proof402 channel list</code> reads it, and
        <code>proof402 channel close ID</code> takes back what is left.
      </p>
      ${
        rows.length === 0
          ? html`<p>No channels.</p>`
          : table(
              "Payment channels, the newest first",
              ["Opened", "Seller", "Chain", "State", "Put in", "Granted by vouchers", "Left", "Rest", "Channel"],
              rows,
            )
      }`,
  };
}
