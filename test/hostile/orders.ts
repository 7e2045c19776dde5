import type { ConfigInput } from "../../src/config/schema.ts";

/** Steps of the purchase that the buyer reports, and four that lie between them. */
export const FAULTS = [
  "chosen",
  "attested",
  "quoted",
  "reserved",
  "signing",
  "signature",
  "paid",
  "on the wire",
  "answered",
  "verified",
  "settled",
] as const;
export type Fault = (typeof FAULTS)[number];

export type Orders = {
  config: ConfigInput;
  privateKey: string;
  /** One purchase for each, in order; with `atOnce`, all together. */
  keys: string[];
  atOnce?: boolean;
  /** Where it dies in the last purchase: at a step, or so many ms after that purchase began. */
  die?: Fault | number;
};
/** What became of each purchase. */
export type Said = { key: string; code: string; receipt: string | null };
