import { createHash } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { createMlp, predict, seeded, train, type Mlp } from "./training/mlp.ts";
import { writeOnnx } from "./training/onnx-writer.ts";
import { TASKS, type Task } from "./training/tasks.ts";

const TRAINING_SAMPLES = 4000;
const HELD_OUT_SAMPLES = 2000;

/** A trained model: its file and how well it does on data it has not seen. */
export type Trained = { task: Task; model: Mlp; file: Uint8Array; sha256: string; heldOut: string };

/** Trains one task. Deterministic: the same program makes the same bytes. */
export function trainTask(task: Task): Trained {
  const random = seeded(task.seed);
  const data = Array.from({ length: TRAINING_SAMPLES }, () => task.draw(random));
  const units = task.outputs.reduce((sum, output) => sum + output.units, 0);
  const model = createMlp([task.features.length, ...task.hidden, units], task.head, random);
  train(model, data, { epochs: 40, batch: 32, rate: 0.004, random });
  const file = writeOnnx(task, model);
  const heldOut = measure(
    task,
    model,
    Array.from({ length: HELD_OUT_SAMPLES }, () => task.draw(random)),
  );
  return { task, model, file, sha256: createHash("sha256").update(file).digest("hex"), heldOut };
}

function measure(task: Task, model: Mlp, samples: ReturnType<Task["draw"]>[]): string {
  if (task.head === "linear") {
    const errors = task.outputs.map((output, unit) => {
      const sum = samples.reduce(
        (total, s) => total + Math.abs((predict(model, s.x)[unit] ?? 0) - (s.y[unit] ?? 0)),
        0,
      );
      return `${output.name} mean absolute error ${(sum / samples.length).toFixed(3)}`;
    });
    return errors.join(", ");
  }
  const right = samples.filter((s) => {
    const answer = predict(model, s.x);
    return task.head === "sigmoid"
      ? (answer[0] ?? 0) > 0.5 === (s.y[0] === 1)
      : answer.indexOf(Math.max(...answer)) === s.y.indexOf(1);
  }).length;
  return `accuracy ${((100 * right) / samples.length).toFixed(1)} %`;
}

/** What a node tells about a model, beside its file. */
const describe = ({ task, sha256, heldOut }: Trained): Record<string, unknown> => ({
  name: task.name,
  file: `${task.name}.onnx`,
  sha256,
  task: task.task,
  description: task.description,
  features: task.features,
  heldOut,
});

async function writeModels(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const trained = TASKS.map(trainTask);
  for (const model of trained) await writeFile(join(directory, `${model.task.name}.onnx`), model.file);
  await writeFile(join(directory, "models.json"), `${JSON.stringify(trained.map(describe), null, 2)}\n`);
  for (const model of trained)
    process.stderr.write(`${model.task.name}: ${model.file.length} bytes, ${model.heldOut}\n`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await writeModels(resolve(process.argv[2] ?? "models"));
}
