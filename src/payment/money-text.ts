import { formatUnits } from "../chain/amounts.ts";
import type { AssetPolicy } from "./policy.ts";

/** An amount as people read it: `0.01 USDC ($0.01)`. Dollars stand only beside a token that is worth one of them. */
export function moneyText(
  baseUnits: bigint | string,
  { decimals, symbol, usdStable }: Pick<AssetPolicy, "decimals" | "symbol" | "usdStable">,
): string {
  const whole = formatUnits(baseUnits, decimals);
  return usdStable ? `${whole} ${symbol} ($${whole})` : `${whole} ${symbol}`;
}

/** The names of chains that people know; others go by their id. */
const CHAINS: Readonly<Record<string, string>> = { "eip155:8453": "Base", "eip155:84532": "Base Sepolia" };

/** A chain as people call it, by its CAIP-2 id. */
export const chainName = (network: string): string => CHAINS[network] ?? network;
