import type { Call } from "./call.ts";
import { holdingCall } from "./call-lease.ts";
import { chooseAndQuote, type Chosen } from "./choose.ts";
import type { BuyerContext } from "./context.ts";
import { approve } from "./approve.ts";
import { payOnce } from "./pay.ts";
import { sendAgain, takeUp } from "./resume.ts";
import type { ApprovalRequest, BuyResult, NeedInput } from "./types.ts";

/** What a call comes to next. */
export type Turn =
  | { kind: "result"; result: BuyResult }
  /** A person has to be asked and cannot be within this call. */
  | { kind: "ask"; request: ApprovalRequest }
  /** Pays under a new authorization: of a seller still to be chosen, or after a fresh quote took a stale one's place. */
  | { kind: "pay"; attempt: number; chosen: Chosen | null }
  /** Sends the very same authorization again. `failure` is the receipt of the seller's failure that an answer replaces. */
  | { kind: "again"; purchaseId: string; failure: string | null };

/**
 * The flow of one purchase (DESIGN §4, steps 1 to 8): takes up what the journal knows of the call, then attempt by attempt
 * chooses, attests, quotes, approves, reserves, signs, sends, judges and stores. Throws Proof402Error.
 */
export const purchase = (ctx: BuyerContext, call: Call): Promise<BuyResult | NeedInput> =>
  holdingCall(ctx, call.key, call.signal, async () => {
    let turn = await takeUp(ctx, call);
    while (turn.kind === "pay" || turn.kind === "again") {
      call.goOn();
      turn = turn.kind === "again" ? await sendAgain(ctx, call, turn) : await payAnew(ctx, call, turn);
    }
    return turn.kind === "ask" ? { needInput: turn.request } : turn.result;
  });

async function payAnew(ctx: BuyerContext, call: Call, turn: Extract<Turn, { kind: "pay" }>): Promise<Turn> {
  const { attempt } = turn;
  const chosen = turn.chosen ?? (await chooseAndQuote(ctx, call, attempt));
  const question = await approve(ctx, call, chosen, attempt);
  return question === null ? payOnce(ctx, call, chosen, attempt) : { kind: "ask", request: question };
}
