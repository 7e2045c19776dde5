import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import { sellerSchema, type AnswerReading, type Provider } from "../market/types.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";

const NEXT = "The bytes that came are kept in the receipt. The same key gives the same result and pays nothing more.";

/**
 * The answer in a receipt's response bytes, or the bytes as they came where this version cannot read them. Throws
 * Proof402Error `body_redacted` or `provider_unknown`.
 */
const readingOf = (ctx: BuyerContext, receipt: Receipt): AnswerReading =>
  readPart(ctx, receipt, "response", (provider, body) => provider.readAnswer(body));

/**
 * What a paid call comes back with. Throws Proof402Error `seller_error` where the seller says that it failed, and
 * `malformed_answer` where the answer contradicts itself; both name the receipt that keeps what came.
 */
export function deliveredAnswer(ctx: BuyerContext, receipt: Receipt): AnswerReading {
  const { id, core } = receipt;
  const reading = readingOf(ctx, receipt);
  if (reading.readable || reading.reason === "other_format") return reading;
  throw reading.reason === "states_error"
    ? failed("seller_error", `Seller "${core.seller.id}" answered a paid request with an error.`, id)
    : failed("malformed_answer", `The answer for "${core.request.model}" contradicts its own shapes or datatypes.`, id);
}

/**
 * The answer in a receipt, for acting on it. Throws Proof402Error `body_redacted`, `provider_unknown` or
 * `answer_unreadable`.
 */
export function answerOf(ctx: BuyerContext, receipt: Receipt): Record<string, unknown> {
  const reading = readingOf(ctx, receipt);
  if (reading.readable) return reading.answer;
  throw failed(
    "answer_unreadable",
    `The answer for "${receipt.core.request.model}" cannot be read by this version.`,
    receipt.id,
  );
}

const failed = (code: string, message: string, receiptId: string): Proof402Error =>
  new Proof402Error(code, message, {
    next: `Look at receipt ${receiptId}. ${NEXT}`,
    details: { receiptId },
  });

/**
 * The input in a receipt's request bytes: what the answer is an answer to.
 * Throws Proof402Error `body_redacted`, `provider_unknown` or `malformed_request`.
 */
export const inputOf = (ctx: BuyerContext, receipt: Receipt): Record<string, unknown> =>
  readPart(ctx, receipt, "request", (provider, body) => provider.readInput(body));

function readPart<T>(
  ctx: BuyerContext,
  receipt: Receipt,
  part: "request" | "response",
  read: (provider: Provider, body: Uint8Array) => T,
): T {
  const { body } = receipt.core[part];
  if (body === undefined) {
    throw new Proof402Error("body_redacted", `The ${part}'s bytes are redacted from this receipt.`, {
      next: NEXT,
    });
  }
  const provider = sellerSchema.shape.provider.safeParse(receipt.core.seller.provider);
  if (!provider.success) {
    throw new Proof402Error(
      "provider_unknown",
      "The receipt comes from a kind of seller that this version does not know.",
      {
        next: "Update proof402.",
      },
    );
  }
  try {
    return read(ctx.providerOf({ provider: provider.data }), fromBase64(body));
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    throw new Proof402Error(error.code, error.message, { next: NEXT, cause: error });
  }
}
