import { Proof402Error } from "../errors.ts";
import type { Call } from "./call.ts";
import { holdingCall } from "./call-lease.ts";
import { reopen } from "./calls.ts";
import { chooseAndQuote, type Chosen } from "./choose.ts";
import type { BuyerContext } from "./context.ts";
import { approve } from "./approve.ts";
import { payOnce } from "./pay.ts";
import { askedTooMuch } from "./payment-refused.ts";
import { sendAgain, takeUp } from "./resume.ts";
import type { ApprovalRequest, BuyResult, NeedInput } from "./types.ts";
import type { PurchaseRecord } from "../payment/types.ts";

/** What a call comes to next. */
export type Turn =
  | { kind: "result"; result: BuyResult }
  /** A person has to be asked and cannot be within this call. */
  | { kind: "ask"; request: ApprovalRequest }
  /**
   * Pays under a new authorization: of a seller still to be chosen, or after a fresh quote took a stale one's place.
   * `turnedDownBy` names the seller that turned a payment of this call down and became too dear by it.
   */
  | { kind: "pay"; attempt: number; chosen: Chosen | null; turnedDownBy?: string }
  /** Sends the very same authorization again. `failure` is the receipt of the seller's failure that an answer replaces. */
  | { kind: "again"; purchase: PurchaseRecord; failure: string | null };

/**
 * The flow of one purchase (docs/architecture.md §4, steps 1 to 8): takes up what the journal knows of the call, then
 * attempt by attempt chooses, attests, quotes, approves, reserves, signs, sends, judges and stores. Throws
 * Proof402Error.
 */
export const purchase = (ctx: BuyerContext, call: Call): Promise<BuyResult | NeedInput> =>
  holdingCall(ctx, call.key, call.signal, async () => {
    await reopen(ctx, call.key);
    let turn = await takeUp(ctx, call);
    while (turn.kind === "pay" || turn.kind === "again") {
      call.goOn();
      turn = turn.kind === "again" ? await sendAgain(ctx, call, turn) : await payAnew(ctx, call, turn);
    }
    return turn.kind === "ask" ? { needInput: turn.request } : turn.result;
  });

const choose = (
  ctx: BuyerContext,
  call: Call,
  { attempt, turnedDownBy }: Extract<Turn, { kind: "pay" }>,
): Promise<Chosen> =>
  chooseAndQuote(ctx, call, attempt).catch((error: unknown) => {
    if (turnedDownBy === undefined || !Proof402Error.isInstance(error) || error.code === "aborted") throw error;
    throw askedTooMuch(turnedDownBy, error.code);
  });

async function payAnew(ctx: BuyerContext, call: Call, turn: Extract<Turn, { kind: "pay" }>): Promise<Turn> {
  const { attempt } = turn;
  const chosen = turn.chosen ?? (await choose(ctx, call, turn));
  const question = await approve(ctx, call, chosen, attempt);
  return question === null ? payOnce(ctx, call, chosen, attempt) : { kind: "ask", request: question };
}
