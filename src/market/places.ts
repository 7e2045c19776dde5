import { Proof402Error } from "../errors.ts";
import type { Seller } from "./types.ts";

/** The origin of a seller at a place. Throws Proof402Error `seller_unreachable` of one whose registry was not asked. */
export function originOf({ id, origin }: Pick<Seller, "id" | "origin">): string {
  if (origin !== undefined) return origin;
  throw new Proof402Error("seller_unreachable", `Nothing says where seller "${id}" is: its registry was not read.`, {
    next: "Call again.",
  });
}
