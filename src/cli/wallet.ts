import { createInterface } from "node:readline/promises";
import type { Command } from "commander";
import type { Config } from "../config/schema.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { Proof402Error } from "../errors.ts";
import { approvePermit2, readHoldings } from "../payment/allowance.ts";
import { formatUnits, parseUnits } from "../payment/amounts.ts";
import { openChain, type Chain } from "../payment/chain.ts";
import { loadWallet } from "../payment/load-wallet.ts";
import type { AssetPolicy } from "../payment/policy.ts";
import type { Wallet } from "../payment/wallet.ts";
import { EXIT, globals, note, print, printJson } from "./globals.ts";
import { configOf } from "./session.ts";

/** `proof402 wallet show`: address, and per asset what it holds and what Permit2 may move. */
export async function showWallet(_options: unknown, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const assets = await Promise.all(
    config.payment.assets.map(async (asset) => ({
      ...asset,
      ...(await readHoldings(chainOf(config, asset), asset.asset, wallet.address)),
    })),
  );
  const view = assets.map(({ network, asset, symbol, decimals, methods, balance, allowance }) => ({
    network,
    asset,
    symbol,
    decimals,
    methods,
    balance: balance.toString(),
    permit2Allowance: allowance.toString(),
  }));
  if (json) printJson({ address: wallet.address, assets: view });
  else {
    print(`Wallet ${wallet.address}`);
    for (const { symbol, network, decimals, methods, balance, permit2Allowance } of view)
      print(
        `  ${symbol} on ${network}: holds ${formatUnits(balance, decimals)}; Permit2 may move ${formatUnits(permit2Allowance, decimals)}; paid by ${methods.join(", ")}`,
      );
  }
  return EXIT.ok;
}

type ApproveOptions = { asset: string; amount: string; yes?: boolean };

/** `proof402 wallet approve`: sets Permit2's allowance to exactly the amount given, never more. */
export async function approveWallet(options: ApproveOptions, command: Command): Promise<number> {
  const { json = false, ...rest } = globals(command);
  const { config, wallet } = await openWallet(rest);
  const asset = assetNamed(config, options.asset);
  const amount = amountOf(options.amount, asset);
  note(
    `Lets Permit2 (${PERMIT2}) move up to ${formatUnits(amount.toString(), asset.decimals)} ${asset.symbol} (${asset.asset}) on ${asset.network} from ${wallet.address}, with this wallet's signature each time. Costs gas.`,
  );
  await confirm(options.yes);
  const done = await approvePermit2({ chain: chainOf(config, asset), wallet, asset, amount });
  const view = { ...done, gasUsed: done.gasUsed.toString(), allowance: done.allowance.toString() };
  if (json) printJson(view);
  else
    print(
      `Done in ${view.transaction}, ${view.gasUsed} gas. Permit2 may now move ${formatUnits(view.allowance, asset.decimals)} ${asset.symbol}.`,
    );
  return EXIT.ok;
}

/** The configuration and its wallet. Throws Proof402Error `wallet_missing`. */
export async function openWallet(options: { config?: string }): Promise<{ config: Config; wallet: Wallet }> {
  const config = await configOf(options);
  const wallet = await loadWallet({ ...config.wallet, env: process.env });
  if (wallet !== null) return { config, wallet };
  throw new Proof402Error("wallet_missing", "No wallet is configured.", {
    next: "Set PROOF402_PRIVATE_KEY, or wallet.privateKeyFile or wallet.keystoreFile in the configuration.",
  });
}

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
  throw new Proof402Error(
    "asset_not_allowed",
    found.length === 0 ? "The payment policy knows no such asset." : "Several assets have this symbol.",
    {
      next: `Name one by its address: ${config.payment.assets.map((one) => `${one.symbol} ${one.asset}`).join(", ")}.`,
    },
  );
}

/** Goes on only if a person says so, here or by `--yes`. Throws Proof402Error `approval_declined`. */
export async function confirm(yes: boolean | undefined): Promise<void> {
  if (yes === true || (await confirmed())) return;
  throw new Proof402Error("approval_declined", "Nothing was signed.", { next: "Add --yes where nobody can be asked." });
}

/** Asks on the terminal; where nobody can be asked the answer is no. */
async function confirmed(): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return false;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return (await terminal.question("Go on? [y/N] ")).trim().toLowerCase() === "y";
  } finally {
    terminal.close();
  }
}
