import { createHmac } from "node:crypto";
import { z } from "zod";
import { fromBase64, fromUtf8 } from "../../evidence/bytes.ts";
import { Proof402Error } from "../../errors.ts";
import { loadModel } from "../../onnx/inference.ts";
import { fits, type Tensor } from "../../onnx/tensors.ts";
import { replayEvidence, type Receipt, type ReplayEvidence } from "../../receipts/schema.ts";
import type { BuyerContext } from "../context.ts";
import type { JobHandler } from "./types.ts";

/** How long a re-execution is waited for, ms. */
const PATIENCE_MS = 60_000;

/** Runs the model again on the request's own inputs, where the configuration holds its file and the answer is drawn. */
export const replayJob: JobHandler = {
  kind: "replay",
  layer: "computation",

  plan: (ctx, receipt) =>
    modelOf(ctx, receipt) !== null && isDrawn(ctx, receipt)
      ? { payload: {}, deadline: ctx.clock().getTime() + PATIENCE_MS }
      : null,

  async look(ctx, receipt) {
    const model = modelOf(ctx, receipt);
    if (model === null) return { state: "absent", code: "model_not_held" };
    const inputs = readInputs(receipt);
    if (inputs === null) return { state: "absent", code: "inputs_unreadable" };
    try {
      return { state: "landed", evidence: await replay(model, inputs) };
    } catch (error) {
      // A file of another digest, or no runtime: looking again changes nothing.
      if (Proof402Error.isInstance(error)) return { state: "absent", code: error.code };
      throw error;
    }
  },

  firstDelay: () => 1000,
  // Models take their time and memory each.
  atOnce: 1,
  awaited: {
    code: "awaiting_replay",
    note: "The answer is being computed again here.",
    holdsVerdict: true,
  },
  absent: (code) => ({
    status: "skip",
    code: "not_replayed",
    note: `The answer was not computed again here (${code}).`,
  }),
};

type Model = { name: string; file: string; sha256: string };

/** The model's file here and the digest that the policy pins for it, or null where either is missing. */
function modelOf(ctx: BuyerContext, { core }: Receipt): Model | null {
  const { model: name } = core.request;
  const files = ctx.config.verification.replay?.models ?? {};
  const seller = ctx.config.sellers.find(({ id }) => id === core.seller.id);
  const file = Object.hasOwn(files, name) ? files[name] : undefined;
  const models = seller?.reference.models ?? {};
  const sha256 = Object.hasOwn(models, name) ? models[name] : undefined;
  return file === undefined || sha256 === undefined ? null : { name, file, sha256 };
}

/** One answer in `every`, drawn under the journal's secret: a seller cannot tell which. */
function isDrawn(ctx: BuyerContext, receipt: Receipt): boolean {
  const every = ctx.config.verification.replay?.every ?? 1;
  const drawn = createHmac("sha256", ctx.nonceSecret).update(`proof402 replay\n${receipt.id}`).digest().readUInt32BE();
  return drawn % every === 0;
}

async function replay(file: Model, inputs: Tensor[]): Promise<ReplayEvidence> {
  const model = await loadModel(".", file);
  try {
    const outputs = await model.run(inputs);
    return replayEvidence.parse({
      kind: "replay.onnx",
      modelSha256: file.sha256,
      runtime: model.runtime,
      outputs,
    });
  } finally {
    await model.close();
  }
}

const DATATYPES = ["FP32", "FP64", "INT32", "INT64", "BOOL", "UINT8"] as const;
const inputsSchema = z.object({
  inputs: z
    .array(
      z.object({
        name: z.string(),
        datatype: z.enum(DATATYPES),
        shape: z.array(z.int().min(0)).max(8),
        data: z.array(z.union([z.number(), z.boolean()])),
      }),
    )
    .min(1),
});

/** The inputs in the exact bytes that were sent, or null. */
function readInputs({ core }: Receipt): Tensor[] | null {
  if (core.request.body === undefined) return null;
  const parsed = inputsSchema.safeParse(JSON.parse(fromUtf8(fromBase64(core.request.body))));
  if (!parsed.success) return null;
  const { inputs } = parsed.data;
  return inputs.every(({ datatype, data }) => data.every((value) => fits(datatype, value))) ? inputs : null;
}
