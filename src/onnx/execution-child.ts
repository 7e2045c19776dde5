/** A re-execution's own process: reads one order, runs the model once, says what came out, and ends. */
import { text } from "node:stream/consumers";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { Proof402Error } from "../errors.ts";
import type { ExecutionOrder } from "./execution.ts";
import { loadModel } from "./inference.ts";

/** How often the guard looks whether its process is still wanted, ms. */
const LOOK_MS = 250;

// The runtime blocks the thread it runs on, so that only another one can end a run whose buyer is gone.
if (isMainThread) await execute();
else guard(workerData as number);

async function execute(): Promise<void> {
  const { parent, ...order } = JSON.parse(await text(process.stdin)) as ExecutionOrder;
  new Worker(new URL(import.meta.url), { workerData: parent }).unref();
  const answer = await run(order).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: describe(error) }),
  );
  process.stdout.write(JSON.stringify(answer), () => process.exit(0));
}

async function run({ model: file, inputs }: Pick<ExecutionOrder, "model" | "inputs">) {
  const model = await loadModel(".", file);
  return { runtime: model.runtime, outputs: await model.run(inputs) };
}

function describe(error: unknown): { code: string; message: string } {
  const message = error instanceof Error ? error.message : String(error);
  if (Proof402Error.isInstance(error)) return { code: error.code, message };
  // Only reading the file fails by a system call.
  return { code: error instanceof Error && "syscall" in error ? "model_unreadable" : "model_failed", message };
}

function guard(parent: number): void {
  setInterval(() => {
    if (process.ppid !== parent) process.kill(process.pid, "SIGKILL");
  }, LOOK_MS);
}
