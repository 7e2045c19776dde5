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
import type { Turn } from "./turn.ts";
import type { BuyResult, NeedInput } from "./types.ts";

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
