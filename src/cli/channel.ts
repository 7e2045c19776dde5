import { buyCommand } from "./next.ts";
import { chainName, moneyText } from "../chain/money-text.ts";
import { findSeller } from "../config/schema.ts";
import type { Command } from "commander";
import { Proof402Error } from "../errors.ts";
import { closeChannel } from "../payment/channel-owner.ts";
import { MOST_PARTS, openParts } from "../payment/channel-parts.ts";
import { readChannel } from "../payment/channels.ts";
import { findAsset } from "../payment/policy.ts";
import { channelLine, channelView } from "./channel-view.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { consent, gasText, gasView } from "./owner.ts";
import { withStore } from "./session.ts";
import { amountOf, assetNamed, chainOf, openWallet, surveyOf } from "./wallet.ts";

type OpenOptions = {
  seller: string;
  asset: string;
  amount: string;
  parts?: string;
  another?: boolean;
  yes?: boolean;
};

/** `proof402 channel open`: puts money into a payment channel with one seller. */
export async function openWith(options: OpenOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const seller = findSeller(config, options.seller);
  if (seller === undefined) {
    throw new Proof402Error("seller_not_found", "No such seller is configured.", {
      next: `Name one of: ${config.sellers.map(({ id }) => id).join(", ")}.`,
    });
  }
  const asset = assetNamed(config, options.asset);
  const amount = amountOf(options.amount, asset);
  const parts = partsOf(options.parts);
  const what =
    parts === 1
      ? `Puts ${moneyText(amount, asset)} on ${chainName(asset.network)} into a channel`
      : `Puts ${moneyText(amount / BigInt(parts), asset)} on ${chainName(asset.network)} into each channel that is missing to ${parts}${options.another === true ? " more" : ""}`;
  note(
    `${what} with "${seller.id}" (${seller.payTo[0]}). It can claim what vouchers grant; the rest comes back ${seller.channel?.withdrawDelaySeconds ?? 0} s after closing. Costs gas.`,
  );
  const opened = await withStore(rest, (db) =>
    openParts({
      db,
      chain: chainOf(config, asset),
      wallet,
      confirm: consent(asset.network, options.yes),
      seller,
      asset,
      amount,
      parts,
      another: options.another,
      report: ({ channel, sent }) => {
        const line =
          sent === null
            ? `Channel ${channel.id} is ${channel.state}: its deposit is on chain, by no transaction of this command.`
            : `Channel ${channel.id} is ${channel.state}, by ${sent.transaction}, ${gasText(sent)}.`;
        if (!json) print(line);
        else if (parts > 1) note(line);
      },
      clock: () => new Date(),
    }),
  );
  const views = opened.map(({ channel, sent }) => ({
    id: channel.id,
    transaction: sent?.transaction ?? null,
    ...(sent === null ? {} : gasView(sent)),
  }));
  if (json)
    printResult(
      parts === 1 ? { ...views[0] } : { channels: views },
      `Buy from it with: proof402 ${buyCommand({ seller: seller.id })}`,
    );
  return EXIT.ok;
}

function partsOf(given = "1"): number {
  const parts = /^[0-9]{1,3}$/.test(given) ? Number(given) : 0;
  if (parts >= 1 && parts <= MOST_PARTS) return parts;
  throw new Proof402Error("invalid_input", `--parts is a whole number from 1 to ${MOST_PARTS}.`, {
    next: "Say over how many channels the amount is split.",
  });
}

/** `proof402 channel list`: the wallet's channels as their chains show them, those that this database had lost included. */
export async function listChannels(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const { channels, unreachable, faults, missed } = await withStore(rest, (db) => surveyOf(config, wallet, db));
  const views = channels.map((one) => channelView(one, config));
  for (const { message } of faults) note(`${message} Channels may be missing here.`);
  for (const { seller, receiver, asset, network } of missed)
    note(
      `Channels with "${seller}" (${receiver}) in ${findAsset({ network, asset }, config.payment.assets)?.symbol ?? asset} on ${chainName(network)} could not be looked for: some may be missing.`,
    );
  const next =
    views.length === 0
      ? "Open one with: proof402 channel open --seller ID --asset SYMBOL --amount AMOUNT"
      : "Take one's rest back with: proof402 channel close ID";
  if (json) printResult({ channels: views, unreachable, faults, missed }, next);
  else if (views.length === 0) print("No channels.");
  for (const view of json ? [] : views) print(channelLine(view));
  return EXIT.ok;
}

/** `proof402 channel close`: asks for what is left, and takes it once the delay is over. */
export async function closeOne(id: string, options: { yes?: boolean }, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const done = await withStore(rest, async (db) => {
    // A channel that this database does not know may be one it has lost.
    if ((await readChannel(db, id)) === null) await surveyOf(config, wallet, db);
    const row = await readChannel(db, id);
    const asset = config.payment.assets.find(({ network }) => network === row?.network);
    if (asset === undefined) {
      throw new Proof402Error("channel_missing", "This wallet has no such channel with a configured seller.", {
        next: "List them with proof402 channel list.",
      });
    }
    note("Takes back what the channel still holds. Once you agree, no voucher of it is signed any more. Costs gas.");
    const confirm = consent(asset.network, options.yes);
    return closeChannel({ db, chain: chainOf(config, asset), wallet, confirm, id });
  });
  const again = "Run the same command again once the channel's delay is over.";
  if (json)
    printResult(
      { state: done.state, transaction: done.transaction, ...gasView(done) },
      done.state === "closed" ? "Look at the wallet with: proof402 wallet show" : again,
    );
  else
    print(
      done.state === "closed"
        ? `The channel is closed, by ${done.transaction}, ${gasText(done)}.`
        : `Asked for by ${done.transaction}, ${gasText(done)}. ${again}`,
    );
  return EXIT.ok;
}
