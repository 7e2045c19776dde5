import { formatUnits } from "./amounts.ts";

/** A token as the reader's own configuration names it. */
export type Token = { symbol: string; decimals: number; usdStable: boolean };

/** A token and its place: CAIP-2 network and address. */
export type PlacedToken = Token & { network: string; asset: string };

/** An amount as people read it: `0.1 USDC ($0.10)`. Dollars stand only beside a token that is worth one of them. */
export function moneyText(baseUnits: bigint | string, { decimals, symbol, usdStable }: Token): string {
  const whole = formatUnits(baseUnits, decimals);
  const [dollars, cents = ""] = whole.split(".");
  return usdStable ? `${whole} ${symbol} ($${dollars}.${cents.padEnd(2, "0")})` : `${whole} ${symbol}`;
}

/** An amount of a token that the reader may not know: its address names it then, and its units are as told, if at all. */
export function sumText(
  baseUnits: bigint | string,
  token: Token | undefined,
  told: { network: string; asset: string; decimals?: number | undefined },
): string {
  if (token !== undefined) return moneyText(baseUnits, token);
  const sum = told.decimals === undefined ? `${baseUnits} base units` : formatUnits(baseUnits, told.decimals);
  return `${sum} of the unknown token ${told.asset} on ${chainName(told.network)}`;
}

/** The names of chains that people know; others go by their id. */
const CHAINS: Readonly<Record<string, string>> = { "eip155:8453": "Base", "eip155:84532": "Base Sepolia" };

/** A chain as people call it, by its CAIP-2 id. */
export const chainName = (network: string): string => CHAINS[network] ?? network;
