import { Proof402Error } from "../../errors.ts";
import { formatUnits, parseUnits } from "../amounts.ts";
import { encodeCall, type Fees, type OwnerCall } from "./calls.ts";
import type { Address } from "../../evidence/bytes.ts";
import type { ChainClient } from "../client.ts";

/** Decimals of every EVM chain's own coin: it is counted in wei. */
const COIN_DECIMALS = 18;
/** Where the configuration names no `maxGasCost`. */
const MAX_GAS_COST = "0.01";

/** Gas that a deposit's work takes at most: two transfers of a token behind a proxy, a signature, and three new entries. */
const DEPOSIT_GAS = 300_000n;
/** Stands in for an authorization where only the length of the input counts. */
const NO_AUTHORIZATION = `0x${"ff".repeat(65)}` as const;
/** Holds no code and no key: a call to it costs what its input costs. */
const NO_CODE = "0x000000000000000000000000000000000000dead";

/** Wei in whole coins, as people read them. */
export const formatCoins = (wei: bigint | string): string => formatUnits(wei, COIN_DECIMALS);

/** Most that one transaction may cost in gas, wei, from the configuration's whole coins. */
export function gasCap(maxGasCost = MAX_GAS_COST): bigint {
  const cap = parseUnits(maxGasCost, COIN_DECIMALS);
  if (cap === null) throw new TypeError("maxGasCost is a number of coins");
  return cap;
}

/**
 * The gas of a call by the RPC's estimate, which nothing signed is shown for: with a deposit's authorization the RPC could make
 * the deposit itself, in the transaction's place, and lie about it. A deposit's input alone is estimated, and its work bounded.
 */
export async function estimateGas(client: ChainClient, from: Address, call: OwnerCall): Promise<bigint> {
  if (call.kind !== "deposit") return client.estimateGas({ from, ...(await encodeCall(call, null)) });
  const { data } = await encodeCall(call, NO_AUTHORIZATION);
  return DEPOSIT_GAS + (await client.estimateGas({ from, to: NO_CODE, data }));
}

/** The most that a transaction with these fees can cost, wei. A rollup's fee for data comes on top; its protocol sets that. */
export const mostCost = ({ gas, maxFeePerGas }: Pick<Fees, "gas" | "maxFeePerGas">): bigint => gas * maxFeePerGas;

/**
 * The fees of one transaction, as the RPC names them, or an error: nothing that the RPC says makes the owner pay more than
 * the cap. Room is left for the base fee to double while the transaction waits, and for a fifth more gas than estimated.
 *
 * Throws Proof402Error `gas_cost_too_high`.
 */
export async function feesWithin(
  cap: bigint,
  client: ChainClient,
  estimated: bigint,
): Promise<Pick<Fees, "gas" | "maxFeePerGas" | "maxPriorityFeePerGas">> {
  const [block, maxPriorityFeePerGas] = await Promise.all([client.getBlock(), client.estimateMaxPriorityFeePerGas()]);
  const fees = {
    gas: (estimated * 6n) / 5n,
    maxPriorityFeePerGas,
    maxFeePerGas: (block.baseFeePerGas ?? 0n) * 2n + maxPriorityFeePerGas,
  };
  const cost = mostCost(fees);
  if (cost <= cap) return fees;
  throw new Proof402Error(
    "gas_cost_too_high",
    `The transaction may cost up to ${formatCoins(cost)} coins in gas at the RPC's fees; ${formatCoins(cap)} is allowed.`,
    {
      money: "not-moved",
      next: "Nothing was signed. Wait for lower fees, use an RPC you trust, or raise networks[].maxGasCost.",
      details: { limit: formatCoins(cap), asked: formatCoins(cost) },
    },
  );
}
