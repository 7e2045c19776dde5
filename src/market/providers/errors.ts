import { Proof402Error } from "../../errors.ts";
import type { Seller } from "../types.ts";

export const malformed = (seller: Pick<Seller, "id">, what: string): Proof402Error =>
  new Proof402Error("malformed_seller_data", `Seller "${seller.id}" sent a malformed ${what}.`, {
    next: "Choose another seller.",
  });

export const sellerError = (seller: Pick<Seller, "id">, status: number, path: string): Proof402Error =>
  new Proof402Error("seller_error", `Seller "${seller.id}" answered ${status} to GET ${path.split("?")[0]}.`, {
    next: "Try again later or choose another seller.",
  });

/** No enclave of a seller's registry can be bought from. */
export const unregistered = (seller: Pick<Seller, "id">): Proof402Error =>
  new Proof402Error(
    "seller_unreachable",
    `The registry of seller "${seller.id}" lists no active enclave that the configuration allows.`,
    { next: "Nothing was signed. Try again later, or compare the seller's reference values with the registry." },
  );
