import { spawn } from "node:child_process";
import { resolve } from "node:path";
import type { Socket } from "node:net";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { Proof402Error } from "../errors.ts";
import type { ModelFile } from "./inference.ts";
import type { Tensor } from "./tensors.ts";

/** What the process is told: the run, and whose it is, so that it ends when that process does. */
export type ExecutionOrder = { model: ModelFile; inputs: readonly Tensor[]; parent: number };

/** What the process says: unchecked, for an ONNX file may break the code that runs it. */
export type Execution = { runtime?: unknown; outputs?: unknown };

/** More than any answer that a receipt holds. */
const MAX_ANSWER_BYTES = 64_000_000;

const answerSchema = z.union([
  z.strictObject({ result: z.strictObject({ runtime: z.unknown(), outputs: z.unknown() }) }),
  z.strictObject({
    error: z.strictObject({ code: z.string().regex(/^[a-z][a-z0-9_]{2,63}$/), message: z.string() }),
  }),
]);

/** The built file, also where the sources themselves are run: only that can be started as a process. */
const entry = (): string => {
  const here = import.meta.url;
  return fileURLToPath(
    here.endsWith(".ts")
      ? new URL("../../dist/src/onnx/execution-child.js", here)
      : new URL("execution-child.js", here),
  );
};

/**
 * Runs a model once in a process of its own, which gets nothing of this one's environment, is killed after so many
 * `milliseconds`, and keeps nobody waiting who only wants to end.
 *
 * Throws Proof402Error `model_digest_mismatch`, `model_unsupported`, `model_unreadable` (no such file), `model_failed` (the
 * runtime refused the file or the inputs), `onnxruntime_missing`, `execution_timeout`, `execution_unreadable` (no answer, or
 * too long a one) or `execution_crashed`: only the last may go otherwise another time.
 */
export async function executeApart(
  { model, inputs }: Pick<ExecutionOrder, "model" | "inputs">,
  { milliseconds }: { milliseconds: number },
): Promise<Execution> {
  // Keys may stand in the environment. What the runtime prints is nobody's: stdout may be a protocol here.
  const child = spawn(process.execPath, [entry()], { env: {}, stdio: ["pipe", "pipe", "ignore"], windowsHide: true });
  child.unref();
  (child.stdout as Socket).unref();
  (child.stdin as Socket).unref();
  let ended: Failure | null = null;
  const end = (why: Failure): void => {
    ended ??= why;
    child.kill("SIGKILL");
  };
  const timer = setTimeout(end, milliseconds, "execution_timeout").unref();

  const chunks: Buffer[] = [];
  let size = 0;
  child.stdout.on("data", (chunk: Buffer) => {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) end("execution_unreadable");
    else chunks.push(chunk);
  });
  // A process that ends before it has read its order says so by ending.
  child.stdin.on("error", () => undefined);
  const order: ExecutionOrder = { model: { ...model, file: resolve(model.file) }, inputs, parent: process.pid };
  child.stdin.end(JSON.stringify(order));
  await new Promise<void>((done) => {
    child.once("close", () => done());
    child.once("error", () => done());
  });
  clearTimeout(timer);
  if (ended !== null) throw failure(ended);
  if (child.exitCode !== 0) throw failure("execution_crashed");
  const answer = readAnswer(Buffer.concat(chunks).toString("utf8"));
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

function failure(code: Failure): Proof402Error {
  const [message, next] = FAILURES[code];
  return new Proof402Error(code, message, { next });
}
