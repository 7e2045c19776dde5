import type { Buyer, BuyOptions, BuyResult } from "../../src/buyer/types.ts";
import type { ConfigInput } from "../../src/config/schema.ts";
import { Proof402Error } from "../../src/errors.ts";
import type { Market } from "../support/devnet.ts";
import { mcpEntry, mcpSeller, type McpSeller } from "../support/mcp-seller.ts";
import { openPurse } from "./purse.ts";

export const PRICE = 2500n;
const CHEAP = { assurance: "none" } as const;
const PLACE = { place: "Rome" };
/** What `lost` says of no payment, and of one. */
export const NOTHING = { left: 0n, used: 0 };
export const ONCE = { left: PRICE, used: 1 };
export const KEY = "one-call-of-a-tool";

export type Victim = {
  seller: McpSeller;
  buyer: Buyer;
  buy: (options?: BuyOptions) => Promise<BuyResult | Proof402Error>;
  /** What left the wallet, and how many authorizations were used. */
  lost: () => Promise<{ left: bigint; used: number }>;
  /** How many different authorizations the seller was shown. */
  shown: () => number;
};

/** A buyer with a wallet of its own, and the seller of tools it buys from. What ends them is added to `ends`. */
export async function mcpVictim(
  { market, ends }: { market: Market; ends: (() => Promise<void>)[] },
  options: Parameters<typeof mcpSeller>[1],
  change: (config: ConfigInput) => void = () => undefined,
): Promise<Victim> {
  const seller = await mcpSeller(market, options);
  const purse = await openPurse(market, (config) => {
    config.sellers = [mcpEntry(market, seller) as NonNullable<ConfigInput["sellers"]>[number]];
    change(config);
  });
  const buyer = await purse.open();
  ends.push(
    () => seller.stop(),
    () => buyer.close(),
  );
  return {
    seller,
    buyer,
    buy: (more = {}) =>
      buyer.buy("forecast", PLACE, { ...CHEAP, ...more }).catch((error: unknown) => {
        if (Proof402Error.isInstance(error)) return error;
        throw error;
      }),
    async lost() {
      const { left, nonces } = await purse.chain();
      return { left, used: nonces.length };
    },
    shown: () => new Set(seller.calls.flatMap(({ _meta: meta }) => JSON.stringify(meta?.["x402/payment"]) ?? [])).size,
  };
}
