import { immediate } from "../storage/migrations.ts";
import type { Db } from "../storage/database.ts";
import { openBell } from "../storage/notices.ts";
import type { ApprovalsTable } from "../storage/tables.ts";
import { Proof402Error } from "../errors.ts";
import type { Ending, Word } from "./owners-word.ts";
import type { ApprovalRequest } from "./types.ts";

/** How long a question waits for its answer, and an answer for its call, seconds. */
export const APPROVAL_SECONDS = 3600;
/** How often a call looks for the owner's word, ms. */
const LOOK_MS = 500;
/** The same while a server tells of changes, ms: a question ends at its time all the same. */
const RARE_MS = 2000;
/** Most questions that wait at once: an agent asks them. */
const MAX_OPEN = 256;

/** A question without an answer yet, or an answer without its call yet. */
export type Approval = Omit<ApprovalsTable, "digest" | "alike" | "input" | "input_length">;

/** Most characters of an input that are kept for the person who answers. */
const MAX_INPUT = 20_000;

/** What the owner's word is on: a question of one key, `alike` those of others, the input that it would pay for, and what is said `besides`. */
export type Pending = { question: ApprovalRequest; alike: string; input: unknown; besides: string };

/**
 * Uses up the owner's word on this very question, or has the question wait for one. The question's digest binds key, attempt,
 * arguments, seller and offer; a yes serves one call once, in whichever process, and ends by itself. It goes before every
 * judgement of the policy and replaces none.
 *
 * The newest question always waits, however often an agent asks. It takes the place of one `alike` that another key asked
 * and that has no answer: the owner sees one line for both.
 */
export const takeWord = (db: Db, { question, alike, input, besides }: Pending, now: number): Promise<Word> =>
  immediate(db, async (tx): Promise<Word> => {
    const { digest, idempotencyKey, sellerId, model, payTo, network, asset, amount } = question;
    await tx.deleteFrom("approvals").where("ends_at", "<=", now).execute();
    const known = await tx
      .selectFrom("approvals")
      .selectAll()
      .where("digest", "=", digest)
      .where("state", "!=", "used")
      .where("amount", "=", amount)
      .executeTakeFirst();
    if (known?.state === "approved") {
      await tx.updateTable("approvals").set({ state: "used" }).where("id", "=", known.id).execute();
      return { kind: "approved" };
    }
    if (known?.state === "declined") return { kind: "declined" };
    if (known !== undefined) return { kind: "waits", id: known.id, endsAt: known.ends_at };
    await tx.deleteFrom("approvals").where("alike", "=", alike).where("state", "=", "open").execute();
    await makeRoom(tx);
    const id = crypto.randomUUID().slice(0, 8);
    const endsAt = now + APPROVAL_SECONDS * 1000;
    await tx
      .insertInto("approvals")
      .values({
        id,
        digest,
        alike,
        idempotency_key: idempotencyKey,
        seller_id: sellerId,
        model,
        pay_to: payTo,
        network,
        asset,
        amount,
        state: "open",
        asked_at: now,
        ends_at: endsAt,
        besides,
        ...kept(input),
      })
      .execute();
    return { kind: "waits", id, endsAt };
  });

/** An input as its person reads it, no longer than a page bears. */
function kept(input: unknown): { input: string; input_length: number } {
  const written = typeof input === "string" ? input : JSON.stringify(input, null, 2);
  // No database of a server takes this character in a text.
  const text = written.replaceAll("\0", "\uFFFD");
  return { input: text.slice(0, MAX_INPUT), input_length: text.length };
}

/**
 * Waits until the owner's word on a question that waits under this id is given, and uses it up. Null if the question ends, or a
 * newer one takes its place. Rejects once `signal` is aborted.
 */
export async function awaitWord(
  db: Db,
  id: string,
  { pending, clock, signal }: { pending: Pending; clock: () => Date; signal: AbortSignal },
): Promise<"approved" | "declined" | null> {
  const bell = openBell(db, (notice) => notice === "approvals");
  try {
    for (;;) {
      const now = clock().getTime();
      const row = await db
        .selectFrom("approvals")
        .select(["state", "digest", "ends_at"])
        .where("id", "=", id)
        .executeTakeFirst();
      if (row === undefined || row.digest !== pending.question.digest || row.ends_at <= now) return null;
      if (row.state === "used") return null;
      if (row.state !== "open") {
        const word = await takeWord(db, pending, now);
        // Taken back meanwhile, or asked again at another price: what waits now is another question.
        return word.kind === "waits" ? null : word.kind;
      }
      await bell.wait({ ms: LOOK_MS, rareMs: RARE_MS, signal });
      signal.throwIfAborted();
    }
  } finally {
    bell.close();
  }
}

/**
 * Ends a question: declined, or withdrawn unless the owner has declined it. A yes is used by one call or ended, never both. Gives the state before;
 * null if no question waits under this id.
 */
export const endQuestion = (db: Db, id: string, how: Ending): Promise<ApprovalsTable["state"] | null> =>
  immediate(db, async (tx) => {
    const row = await tx.selectFrom("approvals").select("state").where("id", "=", id).executeTakeFirst();
    if (row === undefined) return null;
    if (row.state === "open" || row.state === "approved")
      await (
        how === "declined"
          ? tx.updateTable("approvals").set({ state: "declined" }).where("id", "=", id)
          : tx.deleteFrom("approvals").where("id", "=", id)
      ).execute();
    return row.state;
  });

/** Drops the oldest question to the seller with the most of them, if there are too many: questions to others stay. */
async function makeRoom(tx: Db): Promise<void> {
  const open = tx.selectFrom("approvals").where("state", "=", "open");
  const sellers = await open
    .select(["seller_id", (eb) => eb.fn.countAll<number>().as("count")])
    .groupBy("seller_id")
    .orderBy("count", "desc")
    .execute();
  const [most] = sellers;
  if (most === undefined || sellers.reduce((sum, { count }) => sum + count, 0) < MAX_OPEN) return;
  const oldest = open.select("id").where("seller_id", "=", most.seller_id).orderBy("asked_at").limit(1);
  await tx.deleteFrom("approvals").where("id", "=", oldest).execute();
}

/** Questions that wait, and answers that no call has used yet, the oldest first. */
export const listApprovals = (db: Db, now: number): Promise<Approval[]> =>
  db
    .selectFrom("approvals")
    .select([
      "id",
      "idempotency_key",
      "seller_id",
      "model",
      "pay_to",
      "network",
      "asset",
      "amount",
      "state",
      "asked_at",
      "ends_at",
      "besides",
    ])
    .where("ends_at", ">", now)
    .where("state", "!=", "used")
    .orderBy("asked_at")
    .execute();

/**
 * Gives the owner's word on a question that waits; a yes can be taken back until a call uses it. Throws Proof402Error
 * `approval_not_waiting`.
 */
export const giveWord = (db: Db, id: string, state: "approved" | "declined", now: number): Promise<Approval> =>
  immediate(db, async (tx) => {
    const found = (await listApprovals(tx, now)).find((one) => one.id === id);
    if (found === undefined)
      throw new Proof402Error("approval_not_waiting", "No payment of this id waits for an answer.", {
        next: "List those that wait: its call may have used the answer, or its time may be over.",
      });
    await tx.updateTable("approvals").set({ state }).where("id", "=", id).execute();
    return { ...found, state };
  });
