import { utf8 } from "../../evidence/bytes.ts";
import { oip } from "../../evidence/exchange/oip.ts";
import { nest } from "../../evidence/exchange/tensors.ts";
import { Proof402Error } from "../../errors.ts";
import { parseStrictJson } from "../../evidence/exact-json.ts";
import { membersIn } from "../../evidence/json-text.ts";
import { isRecord } from "../../evidence/record.ts";
import type { Tensor } from "../../onnx/tensors.ts";
import { readInferRequest } from "../oip.ts";
import type { ServedModel } from "../payment-gate.ts";
import type { Order } from "../sell.ts";

/**
 * A call of a model's tool as an order, or what is wrong with its arguments. They are written as a request of the Open
 * Inference Protocol and read by the one reader of those, so both have the same limits. `part` is what is hashed and signed of the call.
 */
export function orderOf(served: ServedModel, asked: Record<string, unknown>, part: string): Order | string {
  const { model, rows } = served;
  const unknown = Object.keys(asked).find((name) => !model.inputs.some((input) => input.name === name));
  if (unknown !== undefined) return `the tool takes no "${unknown.slice(0, 128).toWellFormed()}"`;
  try {
    const input = exactly(served, asked, part);
    const { body } = oip.writeRequest({ takes: model.inputs, model: model.name, input, nonce: "" });
    const request = readInferRequest(model, body, rows);
    return "error" in request ? request.error : { served, request, body: utf8(part), write: answerOf };
  } catch (error) {
    if (!Proof402Error.isInstance(error)) throw error;
    return `${error.message} ${error.next}`;
  }
}

/** The arguments with each integer of 64 bits as it stands in the signed part: the protocol's server hands over rounded ones. */
function exactly({ model }: ServedModel, asked: Record<string, unknown>, part: string): Record<string, unknown> {
  const written = parseStrictJson(membersIn(part)?.get("arguments") ?? "{}");
  if (!isRecord(written)) return asked;
  const long = model.inputs.filter(({ name, datatype }) => datatype.endsWith("INT64") && Object.hasOwn(asked, name));
  return { ...asked, ...Object.fromEntries(long.map(({ name }) => [name, written[name]])) };
}

/** The outputs by name as nested arrays, in both of a result's forms: the part of it that is hashed and signed. */
function answerOf(outputs: readonly Tensor[]): string {
  const byName = Object.fromEntries(outputs.map(({ name, shape, data }) => [name, nest(shape, data.map(plain))]));
  return JSON.stringify({ content: [{ type: "text", text: JSON.stringify(byName) }], structuredContent: byName });
}

/** A value that JSON keeps as it is: it has no NaN, no infinity and no sign of a zero. */
const plain = (value: unknown): unknown =>
  typeof value === "number" && !Number.isFinite(value) ? String(value) : Object.is(value, -0) ? 0 : value;
