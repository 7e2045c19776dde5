import type { TensorMetadata } from "../../evidence/exchange/tensors.ts";
import { METADATA_KEY, TOOL_NAME } from "../../evidence/tool-parts.ts";
import type { ServedModel } from "../payment-gate.ts";

type Schema = Record<string, unknown>;

/** Whether a model's name can be a tool's (Model Context Protocol 2026-07-28, tools, tool names). */
export const canBeTool = ({ model }: ServedModel): boolean => TOOL_NAME.test(model.name);

/** A model as a tool: its inputs by name as nested arrays, and apart from it the price and digest in its `_meta`. */
export function toolOf({ model, price, rows }: ServedModel, token: { network: string; asset: string }): Schema {
  const needed = model.inputs.filter((input) => !("optional" in input && input.optional === true));
  return {
    name: model.name,
    description: `${model.description || model.task} Paid for by x402: a call without a payment names its price and changes nothing.`,
    inputSchema: {
      type: "object",
      properties: Object.fromEntries(model.inputs.map((input) => [input.name, schemaOf(input)])),
      required: needed.map(({ name }) => name),
      additionalProperties: false,
    },
    annotations: { readOnlyHint: true, destructiveHint: false, idempotentHint: true, openWorldHint: false },
    _meta: {
      [METADATA_KEY]: { sha256: model.sha256, task: model.task, price: { ...token, amount: price }, rows },
    },
  };
}

/** A tensor as nested arrays. A free dimension has at least one element. */
function schemaOf({ datatype, shape }: TensorMetadata): Schema {
  const element = elementOf(datatype);
  const nested = shape.reduceRight<Schema>(
    (items, size) => ({ type: "array", minItems: Math.max(size, 1), ...(size < 0 ? {} : { maxItems: size }), items }),
    element,
  );
  return { ...nested, description: `${datatype}[${shape.join(",")}]` };
}

/** Integers beyond 2^53 - 1 are decimal texts: no number of JSON holds them for every reader. */
function elementOf(datatype: TensorMetadata["datatype"]): Schema {
  if (datatype === "BOOL") return { type: "boolean" };
  if (datatype === "BYTES") return { type: "string" };
  if (datatype === "INT64" || datatype === "UINT64") return { type: ["integer", "string"] };
  return { type: /^U?INT/.test(datatype) ? "integer" : "number" };
}
