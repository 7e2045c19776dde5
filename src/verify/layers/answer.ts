import type { ExchangeFormat, Part, TensorReading } from "../../evidence/exchange/format.ts";
import { formatOf } from "../../evidence/exchange/formats.ts";
import type { Tensor } from "../../evidence/exchange/tensors.ts";
import { bytesOf } from "../../evidence/body.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import { skip, unsupported } from "../types.ts";

/** Reads the tensors of a part with its bytes by the buyer's own reader: judged and handed-over values are the same. */
export function readTensors(core: ReceiptCore, part: Part): TensorReading {
  const { body } = core[part];
  const format: ExchangeFormat | null = formatOf(core.seller.provider);
  const reading = body === undefined ? undefined : format?.readTensors?.(bytesOf(body), part);
  return reading ?? { ok: false, reason: "other_format" };
}

/** A result for an exchange of a kind of seller whose format this version does not know. */
export const unknownFormat = (): LayerResult =>
  unsupported("exchange_format_unknown", "This version does not know the format that this kind of seller speaks.");

/** The result for a format without tensors to compare with a proof, or null. */
export function judgeTensorFormat(format: ExchangeFormat | null): LayerResult | null {
  if (format === null) return unknownFormat();
  return format.readTensors === undefined
    ? unsupported("exchange_format_unread", "A proof cannot be compared with an exchange that holds no tensors.")
    : null;
}

/** The tensors of a reading, or null. */
export const tensorsOf = (reading: TensorReading): Tensor[] | null => (reading.ok ? reading.tensors : null);

/** A result for an answer that this version has no reader for, or null. Such bytes show nothing and contradict nothing. */
export const judgeFormat = (reading: TensorReading): LayerResult | null =>
  reading.ok || reading.reason !== "other_format"
    ? null
    : skip("answer_format", "The answer is in a format that is not read here, so nothing can be compared with it.");
