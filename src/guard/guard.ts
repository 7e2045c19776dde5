import type { Buyer, ClaimedAction } from "../buyer/types.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { aboutRival } from "../receipts/newest.ts";
import { ASSURANCES, type Appraisal, type Assurance, type Receipt } from "../receipts/schema.ts";
import { fix, recordOf } from "./arguments.ts";
import { namedOnly, type JsonSchema } from "./fields.ts";
import { signedAt } from "./signed-time.ts";

/** What a guard demands of a receipt before it lets a tool run. */
export type GuardOptions = {
  buyer: Buyer;
  /** Least assurance the receipt must have reached. */
  assurance: Exclude<Assurance, "none">;
  /**
   * Oldest answer accepted, in seconds since the seller's key signed it. Where no key signed a time, since this buyer
   * received it. An answer of the future is refused.
   */
  maxAge: number;
  /**
   * Whether the bought answer justifies these arguments. They are the very value, frozen, that the tool's function
   * gets: read once by the tool's own schema, without `receipt_id` and without keys outside the schema. True allows;
   * anything else refuses, a string as the reason. It is the only link between answer and action, so it should compare
   * every argument that matters, and the receipt's model and request where the question matters too.
   */
  bind: (call: {
    args: Record<string, unknown>;
    /** What was asked. Compare it with what is known of the world: an agent could buy the answer it wants with invented inputs. */
    input: Record<string, unknown>;
    answer: Record<string, unknown>;
    receipt: Receipt;
  }) => boolean | string;
  /** Accept receipts whose hardware is simulated. Only for development. */
  allowSimulated?: boolean;
  /** Accept receipts of purchases that this buyer did not make, if their time is signed by a key in good order. */
  allowImported?: boolean;
  /** For tests. */
  clock?: () => Date;
};

/** A tool as a guard needs it, in any framework. */
export type GuardedTool = {
  name: string;
  /** Of the arguments, as a caller writes them. */
  schema: JsonSchema;
  /** Applies the tool's schema, once: null where it refuses. */
  read(args: unknown): Promise<{ value: unknown } | null>;
  /** The tool's function, with exactly this value. */
  run(args: unknown): Promise<unknown>;
  /** What of its result is kept as the outcome. */
  outcomeOf(result: unknown): unknown;
};

/** Why a tool was not run: for a model as text, for a program as data. */
export type Refusal = { text: string; error: { code: ErrorCode; message: string; money: "not-moved"; next: string } };

/** Every guard claims under one purpose, so a purchase justifies one action over all tools. */
const PURPOSE = "guard";

/** Most characters kept of how an action ended. */
const MAX_OUTCOME = 1000;

/**
 * Throws Proof402Error `guard_options` for options that would not guard. A misspelt option must not turn into a guard
 * that lets everything pass: callers are not always type-checked.
 */
export function checkOptions({ assurance, maxAge, bind }: GuardOptions): void {
  const wrong = (field: string, what: string): Proof402Error =>
    new Proof402Error("guard_options", `${field} of a guard must be ${what}.`, { next: "Correct the option." });
  if (!ASSURANCES.includes(assurance) || (assurance as Assurance) === "none")
    throw wrong("assurance", "signed, attested or proven");
  if (!(Number.isFinite(maxAge) && maxAge > 0)) throw wrong("maxAge", "a positive number of seconds");
  if (typeof bind !== "function") throw wrong("bind", "a function");
}

/**
 * Runs the tool if the receipt that `input.receipt_id` names justifies it, and returns its result; else says why it was
 * not run. What the tool throws is thrown again. Writes the claim on the purchase, with the arguments, before the tool
 * begins, and its outcome after the end. If the tool throws or its process dies, the claim stays `undecided` and used.
 */
export async function runGuarded(
  tool: GuardedTool,
  options: GuardOptions,
  input: unknown,
  signal?: AbortSignal,
): Promise<{ result: unknown } | Refusal> {
  const claimed = await claim(tool, options, input, signal);
  if ("error" in claimed) return claimed;
  const end = (state: "done" | "undecided", outcome: string): Promise<void> =>
    endClaim(options.buyer, claimed.receiptId, { state, outcome: outcome.slice(0, MAX_OUTCOME).toWellFormed() });
  let result: unknown;
  try {
    result = await tool.run(claimed.args);
  } catch (error) {
    await end("undecided", error instanceof Error ? `${error.name}: ${error.message}` : "The tool threw.");
    throw error;
  }
  await end("done", inWords(tool.outcomeOf(result)));
  return { result };
}

/** Never throws: the action has happened, and its result must reach the caller. Unwritten, the claim reads `undecided`. */
async function endClaim(buyer: Buyer, id: string, ended: Parameters<Buyer["endClaim"]>[2]): Promise<void> {
  try {
    await buyer.endClaim(id, PURPOSE, ended);
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

async function claim(
  tool: GuardedTool,
  options: GuardOptions,
  input: unknown,
  signal: AbortSignal | undefined,
): Promise<{ receiptId: string; args: unknown } | Refusal> {
  const { buyer, assurance } = options;
  const buyAgain = `Buy again with buy_inference and assurance "${assurance}", wait until it is verified, then use the new receipt.`;
  try {
    const call = await readCall(tool, input);
    if (call === null)
      return refusal("invalid_input", "The arguments do not fit the tool's schema.", "Correct them and call again.");
    const { receiptId, args, record } = call;
    const receipt = await buyer.getReceipt(receiptId);
    const appraisal = await buyer.verify(receipt, { assurance });
    const unfit = judge(options, receipt, appraisal, buyAgain);
    if (unfit !== null) return unfit;
    const bound = options.bind({
      args: args as Record<string, unknown>,
      input: buyer.inputOf(receipt),
      answer: buyer.answerOf(receipt),
      receipt,
    });
    if (bound !== true) {
      return refusal(
        "receipt_not_bound",
        `The receipt does not justify these arguments${typeof bound === "string" ? `: ${bound}` : ""}.`,
        "Use arguments that follow from the bought answer.",
      );
    }
    // A call without a waiting caller must not act.
    signal?.throwIfAborted();
    // Last, so that a refusal for another reason does not use the receipt up. A file's own word for its time counts nothing.
    const allowImported = options.allowImported === true && signedAt(receipt, appraisal) !== null;
    if (await buyer.claimReceipt(receiptId, PURPOSE, { arguments: record, allowImported })) return { receiptId, args };
    return refusal("receipt_consumed", "The receipt's purchase has justified an action already.", buyAgain);
  } catch (error) {
    if (Proof402Error.isInstance(error)) return refusal(error.code, error.message, error.next);
    // A bind function that throws has not said yes.
    return refusal("guard_error", "The receipt could not be checked.", buyAgain);
  }
}

/** The receipt named, and the one value that is compared, recorded and run. Null where the schema refuses it. */
async function readCall(
  tool: GuardedTool,
  input: unknown,
): Promise<{ receiptId: string; args: unknown; record: ClaimedAction["arguments"] } | null> {
  // A copy from the first moment: the caller may change the original while the receipt is checked.
  const { receipt_id: id, ...asked } = fix(input) as Record<string, unknown>;
  // The schema gets a copy that its own code may change.
  const read = await tool.read(structuredClone(namedOnly(asked, tool.schema)));
  if (read === null) return null;
  const args = fix(read.value);
  return { receiptId: typeof id === "string" ? id : "", args, record: recordOf(args) };
}

/** Text and data of one refusal. */
export const refusal = (code: ErrorCode, message: string, next: string): Refusal => ({
  text: `Refused (${code}): ${message} ${next}`,
  error: { code, message, money: "not-moved", next },
});

function judge(options: GuardOptions, receipt: Receipt, appraisal: Appraisal, buyAgain: string): Refusal | null {
  if (appraisal.verdict === "pending") {
    return refusal(
      "receipt_pending",
      "The receipt is not verified yet.",
      `Call get_receipt with id ${receipt.id} and wait_seconds 30, then try again.`,
    );
  }
  const reached = ASSURANCES.indexOf(appraisal.assurance) >= ASSURANCES.indexOf(options.assurance);
  if (appraisal.verdict !== "verified" || !reached) {
    // Which one of several receipts is this buyer's own is what helps a caller that named another.
    const rival = aboutRival(appraisal);
    return refusal(
      "receipt_not_verified",
      `The receipt's verdict is ${appraisal.verdict} with assurance ${appraisal.assurance}.${rival === null ? "" : ` ${rival}`}`,
      buyAgain,
    );
  }
  if (appraisal.simulated && options.allowSimulated !== true) {
    return refusal("receipt_simulated", "The receipt's hardware is simulated.", "Use a seller on real hardware.");
  }
  return judgeAge(options, receipt, appraisal, buyAgain);
}

/** The older of the signed time and the time of receipt counts, so that neither can make an answer younger. */
function judgeAge(options: GuardOptions, receipt: Receipt, appraisal: Appraisal, buyAgain: string): Refusal | null {
  const received = Date.parse(receipt.core.response.receivedAt);
  const answered = Math.min(received, signedAt(receipt, appraisal) ?? received);
  const age = ((options.clock?.() ?? new Date()).getTime() - answered) / 1000;
  if (age < 0) return refusal("receipt_of_future", "The receipt's answer is of a time that has not come.", buyAgain);
  if (age <= options.maxAge) return null;
  return refusal(
    "receipt_too_old",
    `The receipt is ${Math.round(age)} s old; at most ${options.maxAge} s are accepted.`,
    buyAgain,
  );
}
