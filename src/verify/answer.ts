import { fromBase64, fromUtf8 } from "../evidence/bytes.ts";

/** A tensor of an Open Inference Protocol body, flattened in row-major order. */
export type BodyTensor = { name: string; datatype: string; shape: number[]; data: (number | boolean)[] };

/** The tensors in a body, base64, under `inputs` or `outputs`; null where they cannot be read. */
export function readBodyTensors(body: string, list: "inputs" | "outputs"): BodyTensor[] | null {
  try {
    const found = (JSON.parse(fromUtf8(fromBase64(body))) as Record<string, unknown>)[list];
    if (!Array.isArray(found)) return null;
    const whole = found.every(
      (one: Partial<BodyTensor> | null) =>
        typeof one?.name === "string" &&
        typeof one.datatype === "string" &&
        Array.isArray(one.shape) &&
        Array.isArray(one.data),
    );
    return whole ? (found as BodyTensor[]) : null;
  } catch {
    return null;
  }
}
