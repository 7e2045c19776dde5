import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import { sellerSchema, type Provider } from "../market/types.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";

const NEXT = "The receipt is stored and holds the exact bytes.";

/**
 * The answer in a receipt's response bytes. The receipt is kept whether or not its answer can be read.
 * Throws Proof402Error `body_redacted`, `provider_unknown` or `malformed_answer`.
 */
export const answerOf = (ctx: BuyerContext, receipt: Receipt): Record<string, unknown> =>
  readPart(ctx, receipt, "response", (provider, body) => provider.readAnswer(receipt.core.request.model, body));

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
