import { METHODS } from "../../evidence/methods/methods.ts";
import { readOnChain } from "../../payment/channel-state.ts";
import { configOf } from "../../payment/channels.ts";
import { channelLine, channelView } from "../channel-view.ts";
import { skipped, warning, well, type Check } from "./check.ts";

/** The wallet's channels that the database knows, as their chains show them. */
export const channels: Check = {
  name: "channels",
  async look(around) {
    const { config } = around;
    const paid = config.payment.assets.filter(({ methods }) => methods.some((method) => METHODS[method].claimed));
    if (paid.length === 0) return [skipped("", "No asset is paid by voucher.")];
    const [db, own] = await Promise.all([around.records(), around.wallet().catch(() => null)]);
    if (own === null) return [skipped("", "There is no wallet to look at.")];
    const rows =
      db === null
        ? []
        : await db
            .selectFrom("channels")
            .selectAll()
            .where("payer", "=", own.address)
            .where("state", "!=", "closed")
            .orderBy("opened_at")
            .execute();
    if (rows.length === 0) {
      return [
        warning(
          "",
          "No channel is known, so no offer can be paid by voucher.",
          "Run proof402 channel list to look for lost ones on chain, or proof402 channel open --seller ID --asset SYMBOL --amount AMOUNT.",
        ),
      ];
    }
    return Promise.all(
      rows.map(async (row) => {
        const chain = around.chains.get(row.network);
        const read = chain === undefined ? null : await around.head(chain).catch(() => null);
        const seen =
          chain === undefined || read === null ? null : await readOnChain(chain, configOf(row)).catch(() => null);
        return well(row.id, `${channelLine(channelView({ row, seen }, config))}.`);
      }),
    );
  },
};
