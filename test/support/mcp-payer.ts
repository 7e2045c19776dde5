import { privateKeyToAccount, generatePrivateKey } from "viem/accounts";
import type { Hex } from "viem";
import type { Market } from "./devnet.ts";

/** A new key whose account holds this much of the market's token, base units. */
export async function newKey({ devnet }: Market, funds = 1_000_000n): Promise<Hex> {
  const key = generatePrivateKey();
  if (funds > 0n) await devnet.bank.token.mint(privateKeyToAccount(key).address, funds);
  return key;
}
