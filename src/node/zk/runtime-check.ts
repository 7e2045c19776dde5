import { Proof402Error } from "../../errors.ts";
import type { Groth16Key } from "../../evidence/groth16.ts";
import { differenceFromProved } from "../../evidence/proved-answer.ts";
import { openModel } from "../../onnx/inference.ts";
import { evaluateFixed, sampleInputs } from "./fixed-point.ts";
import type { Program } from "./program.ts";

/**
 * Runs the file in onnxruntime on the key's sample and on as many inputs drawn at random, and holds each answer against
 * the circuit's as a buyer will: a file that the runtime reads in another way than the circuit's compiler gets no key.
 * Throws Proof402Error `model_not_provable`, or the codes of `openModel`.
 */
export async function compareWithRuntime(file: Uint8Array, program: Program, key: Groth16Key): Promise<void> {
  const { count, range } = key.sample;
  const width = program.input.count;
  const [seed = 0] = crypto.getRandomValues(new Uint32Array(1));
  const model = await openModel(file, { name: "to be proved" });
  try {
    for (const input of [...sampleInputs(count, width, range), ...sampleInputs(count, width, range, seed)]) {
      const answer = await model.run([{ name: program.input.name, datatype: "FP32", shape: [1, width], data: input }]);
      const whole = answer.length === program.outputs.length;
      const difference = differenceFromProved(whole ? answer : null, evaluateFixed(program, input, key.scale), key);
      if (difference !== null) throw anotherModel(difference);
    }
  } finally {
    await model.close();
  }
}

const anotherModel = (difference: string): Proof402Error =>
  new Proof402Error(
    "model_not_provable",
    `This model cannot be proved: onnxruntime computes something else from this file than the circuit does: ${difference}.`,
    { next: "Export the model again, and sample the range its inputs have." },
  );
