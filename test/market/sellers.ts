import { sellerSchema, type Seller } from "../../src/market/types.ts";

/** A seller as the configuration has it. */
export const sellerAt = (id: string, origin: string): Seller =>
  sellerSchema.parse({ id, provider: "oip", origin, payTo: [`0x${"aa".repeat(20)}`], assurance: "none" });
