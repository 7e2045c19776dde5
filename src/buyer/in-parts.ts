import type { Buyer, BuyOptions, BuyResult } from "./types.ts";
import type { AnswerPart } from "../evidence/exchange/format.ts";

/** What a purchase tells, in order: the pieces of its answer, and at the end the judged result. */
export type BuyEvent = { part: AnswerPart } | { result: BuyResult };

/**
 * Buys, and gives each piece as it comes. Once another answer begins, no more pieces are given: the result has the whole, and
 * shows whether the pieces are of it. A reader that stops before the payment is sent stops the purchase; later it goes on
 * without a reader.
 *
 * @yields The pieces, then the result.
 */
export async function* buyInParts(
  buyer: Pick<Buyer, "buy">,
  model: string,
  input: Record<string, unknown>,
  options: BuyOptions,
): AsyncGenerator<BuyEvent> {
  const leaving = new AbortController();
  const signal = options.signal === undefined ? leaving.signal : AbortSignal.any([leaving.signal, options.signal]);
  const events: BuyEvent[] = [];
  let isRestarted = false;
  let wake = (): void => undefined;
  const buying = buyer.buy(model, input, {
    ...options,
    signal,
    chat: true,
    onAnswerPart: ({ text, refusal, toolCalls, restart }) => {
      isRestarted ||= restart === true;
      if (isRestarted) return;
      events.push({
        part: {
          ...(text === undefined ? {} : { text }),
          ...(refusal === undefined ? {} : { refusal }),
          ...(toolCalls === undefined ? {} : { toolCalls }),
        },
      });
      wake();
    },
  });
  const ended = buying.then(
    () => wake(),
    () => wake(),
  );
  let isOver = false;
  void ended.then(() => (isOver = true));
  try {
    for (;;) {
      for (let event = events.shift(); event !== undefined; event = events.shift()) yield event;
      if (isOver) break;
      await Promise.race([ended, new Promise<void>((resolve) => (wake = resolve))]);
    }
    yield { result: await buying };
  } finally {
    leaving.abort();
  }
}
