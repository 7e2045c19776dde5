import type { Buyer, BuyOptions, BuyRequest, BuyResult } from "../../src/buyer/types.ts";

/** Makes the call that one value says. */
export const buyWith = (
  buyer: Buyer,
  { model, input, ...bounds }: BuyRequest,
  options: BuyOptions = {},
): Promise<BuyResult> => buyer.buy(model, input, { ...bounds, ...options });
