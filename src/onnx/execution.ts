import { resolve } from "node:path";
import * as z from "zod";
import { builtFile, runApart } from "../subprocess/run.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { ModelFile } from "./inference.ts";
import { inJson, type Tensor } from "./tensors.ts";

/** What the process is told. */
export type ExecutionOrder = { model: ModelFile; inputs: readonly Tensor[] };

/** The process's words, unchecked: an ONNX file may break the code that runs it. */
export type Execution = { runtime?: unknown; outputs?: unknown };

/** More than any answer that a receipt holds. */
const MAX_ANSWER_BYTES = 64_000_000;

/** What the process may say went wrong. */
const CHILD_CODES = [
  "model_digest_mismatch",
  "model_unsupported",
  "model_unreadable",
  "model_external_data",
  "model_ambiguous",
  "model_failed",
  "onnxruntime_missing",
] as const satisfies readonly ErrorCode[];

const answerSchema = z.union([
  z.strictObject({ result: z.strictObject({ runtime: z.unknown(), outputs: z.unknown() }) }),
  z.strictObject({
    error: z.strictObject({ code: z.enum(CHILD_CODES), message: z.string() }),
  }),
]);

/**
 * Runs a model once in a process of its own, without this one's environment. Kills it after so many `milliseconds`. It
 * keeps no parent alive that is ready to end.
 *
 * Throws Proof402Error `model_digest_mismatch`, `model_unsupported`, `model_unreadable` (no such file, or no ONNX
 * file), `model_external_data`, `model_ambiguous`, `model_failed` (the runtime refused the file or the inputs),
 * `onnxruntime_missing`, `execution_timeout`, `execution_unreadable` (no answer, or too long a one) or
 * `execution_crashed`: only the last may go otherwise another time.
 */
export async function executeApart(
  { model, inputs }: ExecutionOrder,
  { milliseconds }: { milliseconds: number },
): Promise<Execution> {
  const order: ExecutionOrder = { model: { ...model, file: resolve(model.file) }, inputs: inputs.map(inJson) };
  const file = builtFile(import.meta.url, "execution-child");
  const outcome = await runApart(file, order, { milliseconds, maxBytes: MAX_ANSWER_BYTES, awaited: false });
  if (outcome.kind !== "said") throw failure(FAILURE_OF[outcome.kind]);
  const answer = readAnswer(outcome.text);
  if (answer === null) throw failure("execution_unreadable");
  if ("result" in answer) return answer.result;
  throw new Proof402Error(answer.error.code, answer.error.message.slice(0, 500), {
    next: "Correct what the message names.",
  });
}

function readAnswer(text: string): z.infer<typeof answerSchema> | null {
  try {
    return answerSchema.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

const FAILURES = {
  execution_timeout: [
    "Running the model took too long and was stopped.",
    "Allow it more time, or use a faster machine.",
  ],
  execution_unreadable: [
    "The process that runs the model said nothing that can be read.",
    "Look at the model's outputs.",
  ],
  execution_crashed: ["The process that runs the model ended without an answer.", "Try again."],
} as const;
type Failure = keyof typeof FAILURES;
const FAILURE_OF = {
  timeout: "execution_timeout",
  too_long: "execution_unreadable",
  crashed: "execution_crashed",
} as const;

function failure(code: Failure): Proof402Error {
  const [message, next] = FAILURES[code];
  return new Proof402Error(code, message, { next });
}
