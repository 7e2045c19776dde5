import { expect, it } from "vitest";
import { createQuestions } from "../../src/buyer/questions.ts";
import type { ApprovalRequest } from "../../src/buyer/types.ts";
import { openDatabase } from "../../src/storage/database.ts";

const DAY = 86_400_000;

it("a question is known for thirty days, and its row then makes room", async () => {
  const db = await openDatabase(":memory:");
  let now = 1.7e12;
  const { keepQuestion, wasAsked } = createQuestions(db, () => new Date(now));
  const [asked, other] = ["1", "2"].map((amount) => ({ digest: "ab", amount }) as ApprovalRequest);
  await keepQuestion("place", asked!);
  now += 29 * DAY;
  await keepQuestion("another", other!);
  expect([await wasAsked("place", asked!), await wasAsked("place", other!)]).toEqual([true, false]);
  now += DAY;
  await keepQuestion("a third", other!);
  expect(await wasAsked("place", asked!)).toBe(false);
  expect(await db.selectFrom("questions").select("place").execute()).toHaveLength(2);
  await db.destroy();
});
