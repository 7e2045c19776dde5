import type { Command } from "commander";
import { Proof402Error } from "../errors.ts";
import { formatUnits } from "../payment/amounts.ts";
import { closeChannel, openChannel } from "../payment/channel-owner.ts";
import { EXIT, globals, note, print, printJson } from "./globals.ts";
import { withStore } from "./session.ts";
import { amountOf, assetNamed, chainOf, confirm, openWallet } from "./wallet.ts";

type OpenOptions = { seller: string; asset: string; amount: string; yes?: boolean };

/** `proof402 channel open`: puts money into a payment channel with one seller. */
export async function openWith(options: OpenOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const seller = config.sellers.find(({ id }) => id === options.seller);
  if (seller === undefined) {
    throw new Proof402Error("seller_not_found", "No such seller is configured.", {
      next: `Name one of: ${config.sellers.map(({ id }) => id).join(", ")}.`,
    });
  }
  const asset = assetNamed(config, options.asset);
  const amount = amountOf(options.amount, asset);
  note(
    `Puts ${formatUnits(amount.toString(), asset.decimals)} ${asset.symbol} on ${asset.network} into a channel with "${seller.id}" (${seller.payTo[0]}). It can claim what vouchers grant; the rest comes back ${seller.channel?.withdrawDelaySeconds ?? 0} s after closing. Costs gas.`,
  );
  await confirm(options.yes);
  const { channel, transaction, gasUsed } = await withStore(rest, (db) =>
    openChannel({ db, chain: chainOf(config, asset), wallet, seller, asset, amount, now: new Date() }),
  );
  if (json) printJson({ id: channel.id, transaction, gasUsed: gasUsed.toString() });
  else print(`Channel ${channel.id} is open, by ${transaction}, ${gasUsed} gas.`);
  return EXIT.ok;
}

/** `proof402 channel list`. */
export async function listChannels(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const channels = await withStore(rest, (db) =>
    db
      .selectFrom("channels")
      .select(["id", "seller_id as seller", "network", "asset", "state", "deposit", "charged"])
      .orderBy("opened_at")
      .execute(),
  );
  if (json) printJson({ channels });
  else if (channels.length === 0) print("No channels.");
  for (const { id, seller, state, deposit, charged, asset } of json ? [] : channels)
    print(`${id} ${seller} ${state}: ${charged} of ${deposit} base units of ${asset} granted`);
  return EXIT.ok;
}

/** `proof402 channel close`: asks for what is left, and takes it once the delay is over. */
export async function closeOne(id: string, options: { yes?: boolean }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const done = await withStore(rest, async (db) => {
    const row = await db.selectFrom("channels").select(["network"]).where("id", "=", id).executeTakeFirst();
    const asset = config.payment.assets.find(({ network }) => network === row?.network);
    if (asset === undefined) {
      throw new Proof402Error("channel_missing", "No such channel is stored here.", {
        next: "List them with proof402 channel list.",
      });
    }
    note("Takes back what the channel still holds. No voucher of it is signed from now on. Costs gas.");
    await confirm(options.yes);
    return closeChannel({ db, chain: chainOf(config, asset), wallet, id });
  });
  if (json) printJson({ ...done, gasUsed: done.gasUsed.toString() });
  else
    print(
      done.state === "closed"
        ? `The channel is closed, by ${done.transaction}.`
        : `Asked for by ${done.transaction}. Run the same command again once the channel's delay is over.`,
    );
  return EXIT.ok;
}
