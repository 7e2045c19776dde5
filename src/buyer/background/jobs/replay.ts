import { findSeller } from "../../../config/schema.ts";
import { findAsset, usdBound } from "../../../payment/policy.ts";
import { createHmac } from "node:crypto";
import { toHex } from "../../../evidence/bytes.ts";
import { canonicalSha256 } from "../../../evidence/canonical.ts";
import { Proof402Error } from "../../../errors.ts";
import { executeApart } from "../../../onnx/execution.ts";
import { DATATYPES as SERVED, fits, type Tensor } from "../../../onnx/tensors.ts";
import { replayedOutputs, replayEvidence } from "../../../receipts/replay-schema.ts";
import type { Receipt, ReplayedOutputs, ReplayEvidence } from "../../../receipts/schema.ts";
import { readTensors } from "../../../verify/layers/answer.ts";
import { differenceFromReplay } from "../../../verify/computation/replay.ts";
import type { BuyerContext } from "../../context.ts";
import type { JobHandler } from "./types.ts";

/** How long a re-execution is waited for, ms: several may be due at once, and each has its own time limit. */
const PATIENCE_MS = 60_000;

/**
 * Runs the model again, in a process of its own, on the request's own inputs, where the configuration holds its file
 * and the answer is drawn.
 */
export const replayJob: JobHandler<BuyerContext> = {
  kind: "replay",
  layer: "computation",

  plan: (ctx, receipt) =>
    modelOf(ctx, receipt) !== null && isSampled(ctx, receipt)
      ? { payload: {}, deadline: ctx.clock().getTime() + PATIENCE_MS }
      : null,

  async look(ctx, receipt) {
    const model = modelOf(ctx, receipt);
    if (model === null) return { state: "absent", code: "model_not_held" };
    const inputs = readInputs(receipt);
    if (inputs === null) return { state: "absent", code: "inputs_unreadable" };
    try {
      const milliseconds = (ctx.config.verification.replay?.seconds ?? 0) * 1000;
      const execution = await executeApart({ model, inputs }, { milliseconds });
      const outputs = replayedOutputs.safeParse(execution.outputs);
      if (!outputs.success) return { state: "absent", code: "outputs_unreadable" };
      const parsed = replayEvidence.safeParse({
        kind: "replay.onnx",
        modelSha256: model.sha256,
        runtime: execution.runtime,
        ...kept(ctx, receipt, outputs.data),
      });
      return parsed.success
        ? { state: "landed", evidence: parsed.data }
        : { state: "absent", code: "outputs_unreadable" };
    } catch (error) {
      // A file of another digest, no runtime, or no time: looking again changes nothing.
      if (Proof402Error.isInstance(error) && error.code !== "execution_crashed")
        return { state: "absent", code: error.code };
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

/** Most numbers, and characters of texts, that are kept one by one: a receipt has room for ten times as many values in all. */
const MAX_KEPT = 10_000;

/** The part of the outputs kept in a receipt: all of them, or the outcome of an immediate comparison. */
function kept(
  ctx: BuyerContext,
  { core }: Receipt,
  outputs: ReplayedOutputs,
): Pick<ReplayEvidence, "outputs" | "compared"> {
  const count = outputs.reduce(
    (sum, { datatype, data }) => sum + data.length + (datatype === "BYTES" ? data.join("").length : 0),
    0,
  );
  if (count <= MAX_KEPT) return { outputs };
  const tolerance = ctx.config.verification.replayTolerance;
  return {
    compared: {
      outputsSha256: toHex(canonicalSha256(outputs)),
      tolerance,
      difference:
        core.response.body === undefined
          ? "its bytes are not here"
          : differenceFromReplay(readTensors(core, "response"), outputs, tolerance),
    },
  };
}

type Model = { name: string; file: string; sha256: string };

/** The model's file here and the digest that the policy pins for it, or null where either is missing. */
function modelOf(ctx: BuyerContext, { core }: Receipt): Model | null {
  const { model: name } = core.request;
  const files = ctx.config.verification.replay?.models ?? {};
  const seller = findSeller(ctx.config, core.seller.id);
  const file = Object.hasOwn(files, name) ? files[name] : undefined;
  const models = seller?.reference.models ?? {};
  const sha256 = Object.hasOwn(models, name) ? models[name] : undefined;
  return file === undefined || sha256 === undefined ? null : { name, file, sha256 };
}

/** Each answer above `aboveUsd`, and one in `every` drawn under the buyer's secret: a seller cannot tell which. */
function isSampled(ctx: BuyerContext, receipt: Receipt): boolean {
  const { every = 1, aboveUsd } = ctx.config.verification.replay ?? {};
  if (aboveUsd !== undefined && isAbove(ctx, receipt, aboveUsd)) return true;
  const drawn = createHmac("sha256", ctx.nonceSecret).update(`proof402 replay\n${receipt.id}`).digest().readUInt32BE();
  return drawn % every === 0;
}

/** Assets without a known USD value count as above the threshold. */
function isAbove(ctx: BuyerContext, { core }: Receipt, usd: number): boolean {
  const known = findAsset(core.offer, ctx.config.payment.assets);
  return known === undefined || BigInt(core.offer.amount) > usdBound(usd, known);
}

/** The inputs in the exact bytes that were sent, or null where the runtime could not be given all of them exactly. */
function readInputs({ core }: Receipt): Tensor[] | null {
  const read = readTensors(core, "request");
  if (!read.ok) return null;
  const inputs = read.tensors.flatMap(({ datatype, ...tensor }): Tensor[] => {
    const served = SERVED.find((one) => one === datatype);
    return served !== undefined && tensor.data.every((value) => fits(served, value))
      ? [{ ...tensor, datatype: served }]
      : [];
  });
  return inputs.length === read.tensors.length ? inputs : null;
}
