import { expect, test } from "vitest";
import { refused } from "../../src/buyer/call.ts";
import type { ErrorCode } from "../../src/errors.ts";
import { errorOutcome, moneyWords } from "../../src/tools/outcome.ts";

test("a key of another call is told as that call's money, and this call paid nothing", () => {
  const told = (code: ErrorCode, money: "moved" | "may-move"): string =>
    errorOutcome({ code, message: "It ended.", money, next: "Go on." }).text;
  expect(moneyWords("idempotency_conflict", "not-moved")).toBe("This call paid nothing: no money moved by it.");
  for (const money of ["moved", "may-move"] as const) {
    expect(told("idempotency_conflict", money)).toMatch(
      /This call paid nothing\. Of the earlier call with this key: .* of it /,
    );
    expect(told("idempotency_conflict", money)).not.toContain("of this call");
    expect(told("seller_error", money)).toContain("of this call");
  }
});

test("a limit that the caller gave is not blamed on the owner's policy", () => {
  const refusal = { message: "Too much.", limit: "1", asked: "2", remaining: "1" };
  expect(refused({ ...refusal, code: "over_call_limit" }).next).toMatch(/^Give this call a higher limit/);
  expect(refused({ ...refusal, code: "over_hour_cap" }).next).toMatch(/^The owner's payment policy forbids/);
});
