import type { AnswerReading, ExchangeFormat, Part, UnreadableReason } from "../evidence/exchange/format.ts";
import { formatOf } from "../evidence/exchange/formats.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import { bytesOf } from "../evidence/body.ts";
import type { Receipt } from "../receipts/schema.ts";

const NEXT = "The bytes that came are kept in the receipt. The same key gives the same result and pays nothing more.";

/**
 * What a paid call comes back with. Throws Proof402Error `seller_error` if the seller reports a failure,
 * `answer_unfinished` if its stream did not end, and `malformed_answer` if the answer contradicts itself. Each names the
 * receipt with the answer.
 */
export function deliveredAnswer(receipt: Receipt): AnswerReading {
  const reading = readingOf(receipt);
  if (reading.readable || reading.reason === "other_format") return reading;
  throw problemOf(reading.reason, receipt);
}

/**
 * The answer in a receipt, for acting on it. Throws Proof402Error `body_redacted`, `provider_unknown` or
 * `answer_unreadable`.
 */
export function answerOf(receipt: Receipt): Record<string, unknown> {
  const reading = readingOf(receipt);
  if (reading.readable) return reading.answer;
  throw failed(
    "answer_unreadable",
    `The answer for "${receipt.core.request.model}" cannot be read by this version.`,
    receipt.id,
  );
}

function problemOf(reason: Exclude<UnreadableReason, "other_format">, { id, core }: Receipt): Proof402Error {
  const model = `"${core.request.model}"`;
  switch (reason) {
    case "states_error":
      return failed("seller_error", `Seller "${core.seller.id}" answered a paid request with an error.`, id);
    case "unfinished":
      return failed("answer_unfinished", `The stream that answers ${model} ended before its last frame.`, id);
    case "inconsistent":
      return failed("malformed_answer", `The answer for ${model} contradicts itself.`, id);
  }
}

const failed = (code: ErrorCode, message: string, receiptId: string): Proof402Error =>
  new Proof402Error(code, message, {
    next: `Look at receipt ${receiptId}. ${NEXT}`,
    details: { receiptId },
  });

/**
 * The answer in a receipt's response bytes, or the bytes as they came where this version cannot read them. Throws
 * Proof402Error `body_redacted` or `provider_unknown`.
 */
function readingOf(receipt: Receipt): AnswerReading {
  const { format, body } = exchangeOf(receipt, "response");
  return format.readAnswer(body);
}

/**
 * The input in a receipt's request bytes: what the answer is an answer to.
 * Throws Proof402Error `body_redacted`, `provider_unknown` or `malformed_request`.
 */
export function inputOf(receipt: Receipt): Record<string, unknown> {
  const { format, body } = exchangeOf(receipt, "request");
  const input = format.readInput(body);
  if (input !== null) return input;
  throw new Proof402Error("malformed_request", `The receipt's request is not an ${format.name} request.`, {
    next: NEXT,
  });
}

function exchangeOf({ core }: Receipt, part: Part): { format: ExchangeFormat; body: Uint8Array } {
  const { body } = core[part];
  if (body === undefined) {
    throw new Proof402Error("body_redacted", `The ${part}'s bytes are redacted from this receipt.`, {
      next: "Its payment was made, and the same key pays nothing more. Import a file of the receipt that has its bodies, or go on without them.",
    });
  }
  const format = formatOf(core.seller.provider);
  if (format === null) {
    throw new Proof402Error(
      "provider_unknown",
      "The receipt comes from a kind of seller that this version does not know.",
      {
        next: "Update proof402.",
      },
    );
  }
  return { format, body: bytesOf(body) };
}
