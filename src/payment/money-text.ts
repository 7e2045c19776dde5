import { formatUnits, parseUnits } from "../chain/amounts.ts";
import type { AssetPolicy } from "./policy.ts";

/** An amount as people read it: `0.1 USDC ($0.10)`. Dollars stand only beside a token that is worth one of them. */
export function moneyText(
  baseUnits: bigint | string,
  { decimals, symbol, usdStable }: Pick<AssetPolicy, "decimals" | "symbol" | "usdStable">,
): string {
  const whole = formatUnits(baseUnits, decimals);
  const [dollars, cents = ""] = whole.split(".");
  return usdStable ? `${whole} ${symbol} ($${dollars}.${cents.padEnd(2, "0")})` : `${whole} ${symbol}`;
}

/** Dollars as a person writes them (`0.25`, `$0.25`) in base units of a token that is worth one each, or null. */
export const parseDollars = (text: string, decimals: number): bigint | null =>
  parseUnits(text.trim().replace(/^\$/, ""), decimals);

/** The names of chains that people know; others go by their id. */
const CHAINS: Readonly<Record<string, string>> = { "eip155:8453": "Base", "eip155:84532": "Base Sepolia" };

/** A chain as people call it, by its CAIP-2 id. */
export const chainName = (network: string): string => CHAINS[network] ?? network;
