import { journalSecret } from "../payment/journal.ts";
import type { Wallet } from "../payment/wallet.ts";
import type { Db } from "../storage/database.ts";
import type { Warning } from "./types.ts";

/**
 * The secret that nonces are derived from, hex. It is the wallet's own, so that two databases of one wallet make one nonce
 * of one idempotency key, and the chain takes one payment. Where the wallet gives none, or there is no wallet, it is the
 * database's. Purchases begun under another secret keep the nonce that their row holds.
 */
export async function openNonceSecret(
  db: Db,
  wallet: Wallet | null,
): Promise<{ nonceSecret: string; warnings: Warning[] }> {
  const own = wallet === null ? null : await wallet.deriveSecret("payment nonces");
  if (own !== null) return { nonceSecret: own, warnings: [] };
  return { nonceSecret: await journalSecret(db), warnings: wallet === null ? [] : [NONCES_OF_DATABASE] };
}

const NONCES_OF_DATABASE: Warning = {
  code: "nonces_of_database",
  message:
    "The account does not sign the same data the same way twice, so payment nonces come from this database's secret. Use no second database with this wallet: it would pay for the same idempotency key again.",
};
