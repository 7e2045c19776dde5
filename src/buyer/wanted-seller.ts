import type { Config } from "../config/schema.ts";
import { Proof402Error } from "../errors.ts";
import type { Seller } from "../market/types.ts";
import type { Assurance } from "../receipts/schema.ts";

/** The owner's own knowledge of a new seller. */
export type Wanted = {
  id: string;
  origin: string;
  /** The path of its one address, of kinds that have one. */
  path?: string;
  /** The kind of seller that it is; each is tried without it. */
  kind?: Seller["provider"];
  models?: readonly string[];
  /** Its certificate, in place of the authorities: SHA-256 of its DER, hex. */
  certificateSha256?: string;
  payTo?: readonly string[];
  assurance?: Assurance;
};

/** Throws Proof402Error `seller_exists` for a name or a place of a configured seller. */
export function requireNew({ sellers }: Config, { id, origin }: Wanted, path: string): void {
  const same = sellers.find((one) => one.origin === origin);
  const namesake = sellers.find((one) => one.id === id);
  if (same !== undefined)
    throw new Proof402Error("seller_exists", `${origin} is already pinned as ${same.id}, so nothing was written.`, {
      next: `To renew its pins, take its entry out of sellers in ${path} and add it again; what the old entry pinned goes into the new one's lists and its former, so that old receipts stay verified.`,
    });
  if (namesake !== undefined)
    throw new Proof402Error(
      "seller_exists",
      `${id} is already the name of ${namesake.origin}, so nothing was written.`,
      {
        next: "Give this seller another name (--id). To renew the pins of the other, take its entry out first.",
      },
    );
}
