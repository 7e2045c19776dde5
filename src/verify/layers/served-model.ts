import { bytesOf } from "../../evidence/body.ts";
import { saysFallback } from "../../evidence/fallback.ts";
import type { ExchangeFormat, ModelMatch } from "../../evidence/exchange/format.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { KnownEvidence, LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import { isAnswer } from "../../receipts/transfer.ts";
import { fail } from "../types.ts";

type SaidFallback = Extract<KnownEvidence, { kind: "served.fallback" }>;

/**
 * Compares the model asked for with the one that the seller says served: in its headers, and in its answer if models have more
 * than one spelling in its format. No signature is needed, since the seller speaks against itself. Null if it does not.
 */
export function judgeServed(core: ReceiptCore): LayerResult | null {
  if (!isAnswer(core)) return null;
  const told = core.evidence.filter((one): one is SaidFallback => one.kind === "served.fallback");
  const isOther = (model: string | null): boolean => model !== null && model !== "" && !compared(core, model).isSame;
  if (told.some((one) => saysFallback(one) || isOther(one.model)))
    return fail("fallback_served", "The seller's headers say that another model served than the one asked for.");
  return namedIn(core)?.isSame === false
    ? fail("model_name_mismatch", "The answer names another model than was asked for.")
    : null;
}

/** Says how the answer spells the model, if not as it was asked for; else null. */
export function spellingServed(core: ReceiptCore): string | null {
  const named = isAnswer(core) ? namedIn(core) : null;
  return named?.as == null ? null : `The answer names the model ${named.as}: ${named.name}.`;
}

function namedIn(core: ReceiptCore): (ModelMatch & { name: string }) | null {
  const format: ExchangeFormat | null = formatOf(core.seller.provider);
  const { body } = core.response;
  if (format?.compareModels === undefined || body === undefined) return null;
  const name = format.modelIn(bytesOf(body), "response");
  return name === null ? null : { ...compared(core, name), name };
}

const compared = ({ seller, request: { model: asked } }: ReceiptCore, served: string): ModelMatch =>
  formatOf(seller.provider)?.compareModels?.(asked, served) ?? {
    isSame: served === asked,
    as: null,
  };
