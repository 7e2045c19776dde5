import { fromBase64 } from "../evidence/bytes.ts";
import { Proof402Error } from "../errors.ts";
import { sellerSchema } from "../market/types.ts";
import type { Receipt } from "../receipts/schema.ts";
import type { BuyerContext } from "./context.ts";

/**
 * The answer in a receipt's response bytes. The receipt is kept whether or not its answer can be read.
 * Throws Proof402Error `answer_redacted`, `provider_unknown` or `malformed_answer`.
 */
export function answerOf(ctx: BuyerContext, receipt: Receipt): Record<string, unknown> {
  const { seller, request, response } = receipt.core;
  const next = "The receipt is stored. Buy again under a new idempotency key if the answer is still needed.";
  if (response.body === undefined) {
    throw new Proof402Error("answer_redacted", "The answer's bytes are redacted from this receipt.", {
      money: "moved",
      next,
    });
  }
  const provider = sellerSchema.shape.provider.safeParse(seller.provider);
  if (!provider.success) {
    throw new Proof402Error(
      "provider_unknown",
      "The receipt comes from a kind of seller that this version does not know.",
      { money: "moved", next: "Update proof402." },
    );
  }
  try {
    return ctx.providerOf({ provider: provider.data }).readAnswer(request.model, fromBase64(response.body));
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    throw new Proof402Error(error.code, error.message, { money: "may-move", next, cause: error });
  }
}
