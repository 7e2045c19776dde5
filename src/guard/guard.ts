import type { ActionRecord, ClaimedAction } from "../buyer/action-types.ts";
import type { Buyer } from "../buyer/types.ts";
import { Proof402Error } from "../errors.ts";
import { fix, recordOf } from "./arguments.ts";
import { judgeBound } from "./bound.ts";
import { namedOnly, type JsonSchema } from "./fields.ts";
import { buyAgain, judge, judgeAge, refusal, type Refusal } from "./judge.ts";
import { isNotDone } from "./not-done.ts";
import type { Requirement } from "./requirement.ts";
import { signedAt } from "./signed-time.ts";

/** What an action's function is told of its call. */
export type ActionCall = {
  /**
   * Derived from the claim: purchase, place on it, tool and arguments. The same action again on the same receipt has the same
   * key, and no other action has it. Hand it on, so that the other side does nothing twice.
   */
  idempotencyKey: string;
  /** Names the claim on the record. */
  claimId: string;
  receiptId: string;
};

/** A tool as a guard needs it, in any framework. */
export type GuardedTool = {
  name: string;
  /** Of the arguments, as a caller writes them. */
  schema: JsonSchema;
  /** Applies the tool's schema, once: null where it refuses. */
  read(args: unknown): Promise<{ value: unknown } | null>;
  /** The tool's function, with exactly this value. */
  run(args: unknown, call: ActionCall): Promise<unknown>;
  /** What of its result is kept as the outcome. */
  outcomeOf(result: unknown): unknown;
};

/** Most characters kept of how an action ended. */
const MAX_OUTCOME = 1000;

/**
 * Runs the tool if the receipt that `input.receipt_id` names justifies it, and returns its result; else says why it was
 * not run. What the tool throws is thrown again. Writes the claim on the purchase, with the arguments, before the tool
 * begins, and its outcome after the end. If the tool throws or its process dies, the claim stays `undecided` and used,
 * unless the tool threw `notDone`.
 */
export async function runGuarded(
  tool: GuardedTool,
  required: Requirement,
  input: unknown,
  signal?: AbortSignal,
): Promise<{ result: unknown } | Refusal> {
  return runOn(
    tool,
    required,
    () => {
      // A copy from the first moment: the caller may change the original while the receipt is checked.
      const { receipt_id: id, ...args } = fix(input) as Record<string, unknown>;
      return { receiptId: typeof id === "string" ? id : "", args };
    },
    signal,
  );
}

/** The same for a call whose receipt is named beside its arguments. `read` makes the copy that is judged and run. */
export async function runOn(
  tool: GuardedTool,
  required: Requirement,
  read: () => { receiptId: string; args: unknown },
  signal?: AbortSignal,
): Promise<{ result: unknown } | Refusal> {
  const claimed = await begin(tool, required, read, signal);
  if ("error" in claimed) return claimed;
  const { args, call } = claimed;
  const end = (state: "done" | "failed" | "undecided", outcome: string): Promise<void> =>
    endClaim(required.buyer, call.claimId, { state, outcome: kept(outcome) });
  let result: unknown;
  try {
    result = await tool.run(args, call);
  } catch (error) {
    const words = error instanceof Error ? `${error.name}: ${error.message}` : "The tool threw.";
    if (!isNotDone(error)) {
      await end("undecided", words);
      throw error;
    }
    await end("failed", error.message);
    return { ...refusal("action_not_done", error.message, error.next), thrown: error };
  }
  if (actsWhenRead(result))
    await end("undecided", "It returned a generator or a stream, which acts as its caller reads it.");
  else await end("done", inWords(tool.outcomeOf(result)));
  return { result };
}

/** Whether a result is a generator or a stream: what it does, it does as its caller reads it. */
const actsWhenRead = (result: unknown): boolean =>
  typeof result === "object" &&
  result !== null &&
  (Symbol.asyncIterator in result || ("next" in result && typeof result.next === "function"));

/** A text as the database keeps it: its beginning, without the one character that PostgreSQL takes into no text. */
const kept = (text: string): string => text.slice(0, MAX_OUTCOME).toWellFormed().replaceAll("\0", "\uFFFD");

/** Never throws: the action has happened, and its result must reach the caller. Unwritten, the claim reads `undecided`. */
async function endClaim(buyer: Buyer, id: string, ended: Parameters<Buyer["actions"]["end"]>[1]): Promise<void> {
  try {
    await buyer.actions.end(id, ended);
  } catch {
    // The claim itself is on the disk, with the arguments.
  }
}

function inWords(result: unknown): string {
  try {
    return typeof result === "string" ? result : (JSON.stringify(result) ?? "");
  } catch {
    return "The result has no JSON form.";
  }
}

async function begin(
  tool: GuardedTool,
  required: Requirement,
  read: () => { receiptId: string; args: unknown },
  signal: AbortSignal | undefined,
): Promise<Begun | Refusal> {
  try {
    const asked = await readCall(tool, read);
    if (asked === null)
      return refusal("invalid_input", "The arguments do not fit the tool's schema.", "Correct them and call again.");
    for (;;) {
      const begun = await judgeAndClaim(tool.name, required, asked, signal);
      if (begun !== null) return begun;
    }
  } catch (error) {
    if (signal?.aborted === true)
      return refusal(
        "aborted",
        "The caller left before the action began.",
        "The receipt is as it was: call again with it.",
      );
    if (Proof402Error.isInstance(error)) return refusal(error.code, error.message, error.next);
    // A bind function that throws has not said yes.
    return refusal("guard_error", "The receipt could not be checked.", buyAgain(required));
  }
}

type Begun = { args: unknown; call: ActionCall };

/** Null if what was judged changed before the claim was made: it is judged again. */
async function judgeAndClaim(
  name: string,
  required: Requirement,
  { receiptId, args, record }: AskedCall,
  signal: AbortSignal | undefined,
): Promise<Begun | Refusal | null> {
  const { buyer, assurance } = required;
  const at = await buyer.actions.moment();
  const receipt = await buyer.getReceipt(receiptId);
  const appraisal = await buyer.verify(receipt, { assurance });
  const unfit = judge(required, receipt, appraisal) ?? judgeBound(required, receipt, args);
  if (unfit !== null) return unfit;
  // A call without a waiting caller must not act.
  signal?.throwIfAborted();
  const request = {
    tool: name,
    arguments: record,
    requirement: required.record,
    spends: required.spends,
    // A file's own word for its time counts nothing.
    allowImported: required.allowImported && signedAt(receipt, appraisal) !== null,
  };
  const judged = { receipt, at, holds: () => judgeAge(required, receipt, appraisal) === null };
  // Last, so that a refusal for another reason does not use the receipt up.
  const place = await buyer.actions.claim(receiptId, request, { begins: true, signal, judged });
  if ("changed" in place) return null;
  if ("takenBy" in place) return taken(place.takenBy, buyAgain(required));
  return { args, call: { idempotencyKey: place.idempotencyKey, claimId: place.id, receiptId } };
}

/** Says that a purchase is used up, and if its action is undecided. */
function taken(actions: readonly ActionRecord[], again: string): Refusal {
  const used = "The receipt's purchase has justified an action already";
  const open = actions.find(({ state }) => state === "undecided");
  if (open === undefined) return refusal("receipt_consumed", `${used}.`, again);
  return refusal(
    "receipt_consumed",
    `${used}, and whether that happened is not known (${open.id}).`,
    "Do not buy again for the same action before its owner decided what became of it.",
  );
}

type AskedCall = { receiptId: string; args: unknown; record: ClaimedAction["arguments"] };

/** The receipt named, and the one value that is compared, recorded and run. Null where the schema refuses it. */
async function readCall(
  tool: GuardedTool,
  read: () => { receiptId: string; args: unknown },
): Promise<AskedCall | null> {
  const { receiptId, args: asked } = read();
  // The schema gets a copy that its own code may change.
  const taken = await tool.read(structuredClone(namedOnly(asked, tool.schema)));
  if (taken === null) return null;
  const args = fix(taken.value);
  return { receiptId, args, record: recordOf(args) };
}
