import { sha256, toHex, utf8 } from "../../evidence/bytes.ts";
import type { Db } from "../../storage/database.ts";

/** Characters of a digest in a key: enough that no two calls of a database meet. */
const DIGITS = 32;

const digest = (text: string): string => toHex(sha256(utf8(text))).slice(0, DIGITS);

/** The beginning of the keys of all purchases of a quorum, by the call's own key. */
const beginningOf = (key: string): string => `quorum-${digest(`proof402 quorum ${key}`)}-`;

/** The key of a quorum's purchase of one seller. The same call has the same keys each time, so no retry pays twice. */
export const memberKey = (key: string, sellerId: string): string => `${beginningOf(key)}${digest(sellerId)}`;

/** An attempt to pay a seller for a quorum, as the journal has it. */
export type MemberAttempt = {
  key: string;
  sellerId: string;
  network: string;
  asset: string;
  amount: string;
  /** Money is out for it, or was, or it has an answer. */
  counts: boolean;
};

/** Whether a key is a quorum's with something at stake. */
export const isOfQuorum = async (db: Db, key: string): Promise<boolean> =>
  (await attemptsOfQuorum(db, key)).some(({ counts }) => counts);

/** All attempts to pay for a quorum, by the call's key. */
export async function attemptsOfQuorum(db: Db, key: string): Promise<MemberAttempt[]> {
  const beginning = beginningOf(key);
  const rows = await db
    .selectFrom("purchases")
    .select(["idempotency_key", "seller_id", "network", "asset", "amount", "state", "answered_at"])
    .where("idempotency_key", ">=", beginning)
    .where("idempotency_key", "<", `${beginning}~`)
    .orderBy("created_at")
    .execute();
  return rows.map(
    ({ idempotency_key: memberOf, seller_id: sellerId, network, asset, amount, state, answered_at: at }) => ({
      key: memberOf,
      sellerId,
      network,
      asset,
      amount,
      counts: state !== "released" || at !== null,
    }),
  );
}
