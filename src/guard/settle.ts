import type { ActionRecord } from "../buyer/action-types.ts";
import type { Buyer } from "../buyer/types.ts";
import { argumentsOf } from "./arguments.ts";
import type { ActionCall } from "./guard.ts";

/** The finding of an action's own `settle` function. */
export type Found = "done" | "failed" | "undecided" | { state: "done" | "failed" | "undecided"; note: string };

/** Asks the world what became of an action, by its recorded arguments and its idempotency key. Changes nothing in it. */
export type Settle<Args> = (asked: ActionCall & { args: Args; at: string }) => Found | Promise<Found>;

/**
 * Asks about each `undecided` action of a tool, and records the findings. Runs none of them. Those under way,
 * and those of another machine's processes, are not asked about. What `settle` throws leaves its action undecided and is
 * thrown once all were asked about.
 */
export async function settleActions<Args>(buyer: Buyer, tool: string, settle: Settle<Args>): Promise<ActionRecord[]> {
  const open = await buyer.actions.list({ open: true, tool, limit: 1000 });
  const decided: ActionRecord[] = [];
  const problems: unknown[] = [];
  for (const action of open.toReversed()) {
    const { id, receiptId, state, running, idempotencyKey, arguments: recorded } = action;
    if (state !== "undecided" || running !== false || idempotencyKey === null || recorded === null) continue;
    try {
      const args = argumentsOf(recorded) as Args;
      const found = await settle({ args, idempotencyKey, claimId: id, receiptId, at: action.at });
      const { state: became, note } = typeof found === "string" ? { state: found, note: "" } : found;
      if (became !== "done" && became !== "failed") continue;
      decided.push(await buyer.actions.decide(id, { state: became, by: "settle", note }));
    } catch (error) {
      problems.push(error);
    }
  }
  if (problems.length > 0) throw problems[0];
  return decided;
}
