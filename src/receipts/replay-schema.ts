import * as z from "zod";
import { hex } from "./fields.ts";

/** A number that JSON does not hold in each reader: an integer beyond 2^53, `NaN`, an infinity, or zero with a sign. */
const NOT_IN_JSON = /^(?:NaN|-?Infinity|-0|-?[1-9][0-9]{15,19})$/;
const notInJson = z.string().regex(NOT_IN_JSON, "a number that JSON does not hold");
const texts = z.array(z.string().max(1_000_000)).max(100_000);

/** Whether an element is of the kind that tensors of a datatype hold: texts in BYTES, truth values in BOOL, numbers else. */
function mayStandIn(datatype: string, element: unknown): boolean {
  if (datatype === "BYTES") return typeof element === "string";
  if (datatype === "BOOL") return typeof element === "boolean";
  return typeof element === "number" || (typeof element === "string" && NOT_IN_JSON.test(element));
}

/** What a re-execution answered, each tensor flattened in row-major order. */
export const replayedOutputs = z
  .array(
    z
      .strictObject({
        name: z.string().max(128),
        datatype: z.string().max(16),
        shape: z.array(z.int().min(0).max(1_000_000)).max(8),
        data: z.union([z.array(z.union([z.number(), z.boolean(), notInJson])).max(100_000), texts]),
      })
      .refine(({ datatype, data }) => data.every((element) => mayStandIn(datatype, element)), {
        path: ["data"],
        error: "an element that its datatype does not have",
      }),
  )
  .min(1)
  .max(64);

/** Allowed differences of floating-point numbers. */
const tolerance = z.strictObject({ absolute: z.number().min(0), relative: z.number().min(0) });

/**
 * The buyer's own re-execution of the model on the request's inputs. Only who ran it can believe it. Holds the full
 * outputs or, if a receipt has no room for them, the outcome of the comparison made at once.
 */
export const replayEvidence = z
  .strictObject({
    kind: z.literal("replay.onnx"),
    /** SHA-256 of the model file that was run. */
    modelSha256: hex(32),
    runtime: z.strictObject({ name: z.string().max(64), version: z.string().max(32) }),
    outputs: replayedOutputs.optional(),
    compared: z
      .strictObject({
        /** sha256(JCS(outputs)), hex. */
        outputsSha256: hex(32),
        tolerance,
        /** Where the answer first differs, or null where it is the same within the tolerance. */
        difference: z.string().max(200).nullable(),
      })
      .optional(),
  })
  .refine(({ outputs, compared }) => (outputs === undefined) !== (compared === undefined), {
    error: "has either its outputs or how they compared",
  });
