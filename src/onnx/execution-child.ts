/** A re-execution's own process: reads one order, runs the model once, says what came out, and ends. */
import { isMainThread } from "node:worker_threads";
import { guard, readOrder } from "../subprocess/order.ts";
import { Proof402Error, type ErrorCode } from "../errors.ts";
import type { ExecutionOrder } from "./execution.ts";
import { loadModel } from "./inference.ts";
import { inJson } from "./tensors.ts";

if (isMainThread) await execute();
else guard();

async function execute(): Promise<void> {
  const answer = await run(await readOrder<ExecutionOrder>(import.meta.url)).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: describe(error) }),
  );
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

async function run({ model: file, inputs }: ExecutionOrder) {
  const model = await loadModel(".", file);
  return { runtime: model.runtime, outputs: (await model.run(inputs)).map(inJson) };
}

function describe(error: unknown): { code: ErrorCode; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (Proof402Error.isInstance(error)) return { code: error.code, message };
  // Only reading the file fails by a system call.
  return { code: error instanceof Error && "syscall" in error ? "model_unreadable" : "model_failed", message };
}
