import type { Address, Hex } from "../evidence/bytes.ts";

/**
 * Authorizations for several calls, from the first call's answer on. Their amounts stand in the purchases on them: the
 * first has the authorization's nonce, and the name of each later one begins with it.
 */
export type SharedAuthorizationsTable = {
  nonce: Hex;
  seller_id: string;
  payer: Address;
  /** HTTP method and URL of its calls: later ones go nowhere else. */
  target: string;
  offer_hash: string;
  /** SHA-256 of the attested TLS certificate that its first call went under, hex; null if none was. */
  certificate: string | null;
  /** How a later call shows it: by the seller's token, or by the first call's payment header. */
  shown_by: "token" | "payment";
  /** The seller's secret for going on with it. In this column only; null from its end on. */
  token: string | null;
  most_calls: number;
  /** Unused for so long, it takes no further call, ms. */
  idle_ms: number;
  /** From here on it takes no further call, and when it was last answered; unix ms. */
  until: number;
  used_at: number;
  /** 0 once it takes no further call. */
  open: number;
};
