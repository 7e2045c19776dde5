import type { Db } from "../storage/database.ts";
import type { ApprovalRequest, Buyer } from "./types.ts";

/** A question and all that it may cost: a yes to less is no yes to more. */
const nameOf = ({ digest, amount }: ApprovalRequest): string => `${digest} ${amount}`;

/** What was shown to persons, for surfaces whose answers name no question. */
export const createQuestions = (db: Db): Pick<Buyer, "keepQuestion" | "wasAsked"> => ({
  async keepQuestion(place, request) {
    const question = nameOf(request);
    await db
      .insertInto("questions")
      .values({ place, question })
      .onConflict((conflict) => conflict.column("place").doUpdateSet({ question }))
      .execute();
  },

  async wasAsked(place, request) {
    const kept = await db.selectFrom("questions").select("question").where("place", "=", place).executeTakeFirst();
    return kept?.question === nameOf(request);
  },
});
