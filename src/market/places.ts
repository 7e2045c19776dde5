import { Proof402Error } from "../errors.ts";
import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import type { Seller } from "./types.ts";

/** The origin of a seller at a place. Throws Proof402Error `seller_unreachable` of one whose registry was not asked. */
export function originOf({ id, origin }: Pick<Seller, "id" | "origin">): string {
  if (origin !== undefined) return origin;
  throw new Proof402Error("seller_unreachable", `Nothing says where seller "${id}" is: its registry was not read.`, {
    next: "Call again.",
  });
}

/** The address of a request for a model: of kinds with one address the seller's own path, or the kind's. */
export function addressOf(seller: Seller, model: string, body: Uint8Array): { url: string; path: string } {
  const format: ExchangeFormat = FORMATS[seller.provider];
  const path = format.at === undefined ? format.pathOf(model, body) : (seller.path ?? format.at);
  return { url: `${originOf(seller)}${path}`, path };
}
