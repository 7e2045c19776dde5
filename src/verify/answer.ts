import { fromBase64 } from "../evidence/bytes.ts";
import { readTensors, type OipTensor, type TensorReading } from "../evidence/oip-tensors.ts";
import type { LayerResult } from "../receipts/schema.ts";
import { skip } from "./types.ts";

/** The tensors of a body in base64, by the one reader: what is judged is what the buyer is handed. */
export const readBodyTensors = (body: string, list: "inputs" | "outputs"): TensorReading =>
  readTensors(fromBase64(body), list);

/** The tensors of a reading, or null. */
export const tensorsOf = (reading: TensorReading): OipTensor[] | null => (reading.ok ? reading.tensors : null);

/** A result for an answer that this version has no reader for, or null. Such bytes show nothing and contradict nothing. */
export const judgeFormat = (reading: TensorReading): LayerResult | null =>
  reading.ok || reading.reason !== "other_format"
    ? null
    : skip("answer_format", "The answer is in a format that is not read here, so nothing can be compared with it.");
