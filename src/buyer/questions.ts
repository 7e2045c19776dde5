import type { Db } from "../storage/database.ts";
import { immediate } from "../storage/migrations.ts";
import type { ApprovalRequest, Buyer } from "./types.ts";

/** A question and all that it may cost: a yes to less is no yes to more. */
const nameOf = ({ digest, amount }: ApprovalRequest): string => `${digest} ${amount}`;

/** How long a graph that was interrupted may come back with its answer, ms; later the question is asked once more. */
const KEPT_MS = 30 * 86_400_000;

/** What was shown to persons, for surfaces whose answers name no question. */
export const createQuestions = (db: Db, clock: () => Date): Pick<Buyer, "keepQuestion" | "wasAsked"> => ({
  async keepQuestion(place, request) {
    const row = { question: nameOf(request), asked_at: clock().getTime() };
    await immediate(db, async (tx) => {
      await tx
        .deleteFrom("questions")
        .where("asked_at", "<=", row.asked_at - KEPT_MS)
        .execute();
      await tx
        .insertInto("questions")
        .values({ place, ...row })
        .onConflict((conflict) => conflict.column("place").doUpdateSet(row))
        .execute();
    });
  },

  async wasAsked(place, request) {
    const kept = await db.selectFrom("questions").select("question").where("place", "=", place).executeTakeFirst();
    return kept?.question === nameOf(request);
  },
});
