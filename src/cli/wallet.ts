import { chainName, moneyText } from "../chain/money-text.ts";
import type { Command } from "commander";
import type { Config } from "../config/schema.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { Proof402Error } from "../errors.ts";
import { approvePermit2, readHoldings } from "../payment/allowance.ts";
import { parseUnits } from "../chain/amounts.ts";
import { openChain, type Chain } from "../chain/chain.ts";
import { surveyChannels } from "../payment/channel-recover.ts";
import { loadAddress, loadWallet } from "../payment/load-wallet.ts";
import { lookUp } from "../chain/owner/send.ts";
import type { AssetPolicy } from "../payment/policy.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Db } from "../storage/database.ts";
import { channelLine, channelView } from "./channel-view.ts";
import { EXIT, globals, note, print, printResult } from "./globals.ts";
import { consent, gasText, gasView } from "./owner.ts";
import { configOf, withStore } from "./session.ts";

/**
 * `proof402 wallet show`: address, balance and Permit2 allowance per asset, money in channels, and the owner's
 * undecided transactions.
 */
export async function showWallet(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const assets = await Promise.all(
    config.payment.assets.map(async (asset) => ({
      ...asset,
      ...(await readHoldings(chainOf(config, asset), asset.asset, wallet.address)),
    })),
  );
  const { channels, undecided } = await withStore(rest, async (db) => ({
    undecided: (
      await Promise.all(config.networks.map((network) => lookUp({ db, chain: openChain(network), wallet })))
    ).flat(),
    channels: (await surveyOf(config, wallet, db)).channels.map((one) => channelView(one, config)),
  }));
  const view = {
    address: wallet.address,
    assets: assets.map(({ network, asset, symbol, decimals, usdStable, methods, balance, allowance }) => ({
      network,
      asset,
      symbol,
      decimals,
      usdStable,
      methods,
      balance: balance.toString(),
      permit2Allowance: allowance.toString(),
    })),
    channels,
    undecided: undecided.map(({ hash, kind, network, nonce }) => ({ transaction: hash, kind, network, nonce })),
  };
  if (json) printResult(view, "Check what a purchase needs with: proof402 doctor");
  else {
    print(`Wallet ${wallet.address}`);
    for (const asset of view.assets)
      print(
        `  ${asset.symbol} on ${chainName(asset.network)}: holds ${moneyText(asset.balance, asset)}; Permit2 may move ${moneyText(asset.permit2Allowance, asset)}; paid by ${asset.methods.join(", ")}`,
      );
    for (const channel of view.channels) print(`  ${channelLine(channel)}`);
    for (const { transaction, kind, network } of view.undecided)
      print(`  Undecided on ${network}: ${kind} ${transaction}. The command that made it takes it up again.`);
  }
  return EXIT.ok;
}

/** `proof402 wallet address`: the address of the configured wallet. Asks no chain and opens no database. */
export async function showAddress(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const address = await loadAddress({ ...(await configOf(rest)).wallet, env: process.env });
  if (address === null) throw walletMissing();
  if (json) printResult({ address }, "Send it a token of the configuration, then look with: proof402 wallet show");
  else print(address);
  return EXIT.ok;
}

/** Every channel of the wallet, as its chain shows it. */
export const surveyOf = (config: Config, wallet: Wallet, db: Db) =>
  surveyChannels({
    db,
    chainOf: (asset) => chainOf(config, asset),
    payer: wallet.address,
    sellers: config.sellers,
    assets: config.payment.assets,
    now: new Date(),
  });

type ApproveOptions = { asset: string; amount: string; yes?: boolean };

/** `proof402 wallet approve`: sets Permit2's allowance to exactly the amount given, never more. */
export async function approveWallet(options: ApproveOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const asset = assetNamed(config, options.asset);
  const amount = amountOf(options.amount, asset);
  note(
    `Lets Permit2 (${PERMIT2}) move up to ${moneyText(amount, asset)} on ${chainName(asset.network)} from the wallet ${wallet.address}, with this wallet's signature each time. Costs gas.`,
  );
  const { sent, allowance } = await withStore(rest, (db) =>
    approvePermit2({
      db,
      chain: chainOf(config, asset),
      wallet,
      confirm: consent(asset.network, options.yes),
      asset,
      amount,
    }),
  );
  const may = `Permit2 may now move ${moneyText(allowance, asset)}.`;
  if (json)
    printResult(
      {
        transaction: sent?.transaction ?? null,
        ...(sent === null ? {} : gasView(sent)),
        allowance: allowance.toString(),
        symbol: asset.symbol,
        decimals: asset.decimals,
      },
      "Look at it with: proof402 wallet show",
    );
  else print(sent === null ? `Nothing was sent. ${may}` : `Done in ${sent.transaction}, ${gasText(sent)}. ${may}`);
  return EXIT.ok;
}

/** The configuration and its wallet. Throws Proof402Error `wallet_missing`. */
export async function openWallet(options: { config?: string }): Promise<{ config: Config; wallet: Wallet }> {
  const config = await configOf(options);
  const wallet = await loadWallet({ ...config.wallet, env: process.env });
  if (wallet !== null) return { config, wallet };
  throw walletMissing();
}

const walletMissing = (): Proof402Error =>
  new Proof402Error("wallet_missing", "No wallet is configured.", {
    next: "Set PROOF402_PRIVATE_KEY, or wallet.privateKeyFile or wallet.keystoreFile in the configuration.",
  });

/** The chain of an asset of the policy. */
export function chainOf(config: Config, { network }: AssetPolicy): Chain {
  const found = config.networks.find((one) => one.network === network);
  if (found === undefined) throw new Error("the configuration has a network for every asset");
  return openChain(found);
}

/** Whole tokens in base units. Throws Proof402Error `invalid_input`. */
export function amountOf(text: string, asset: AssetPolicy): bigint {
  const amount = parseUnits(text, asset.decimals);
  if (amount !== null) return amount;
  throw new Proof402Error("invalid_input", `--amount is not an amount of ${asset.symbol}.`, {
    next: `Give a decimal number with at most ${asset.decimals} places, such as 5 or 0.25.`,
  });
}

/** The asset of the policy by symbol or address. Throws Proof402Error `asset_not_allowed`. */
export function assetNamed(config: Config, name: string): AssetPolicy {
  const found = config.payment.assets.filter(
    ({ symbol, asset }) => symbol.toLowerCase() === name.toLowerCase() || asset === name.toLowerCase(),
  );
  const [asset] = found;
  if (asset !== undefined && found.length === 1) return asset;
  if (found.length > 0)
    throw new Proof402Error("asset_not_allowed", "Several assets have this symbol.", {
      next: `Name one by its address: ${found.map((one) => `${one.asset} on ${chainName(one.network)}`).join(", ")}.`,
    });
  throw new Proof402Error("asset_not_allowed", "The payment policy knows no such asset.", {
    next: `Name one of: ${config.payment.assets.map(({ symbol }) => symbol).join(", ")}.`,
  });
}
