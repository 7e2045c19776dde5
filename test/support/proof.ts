import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { utf8 } from "../../src/evidence/bytes.ts";
import { quantiseInput, requestSignals } from "../../src/evidence/groth16.ts";
import { compileModel, type CompiledModel, type CompileOptions } from "../../src/zk/compile.ts";
import type { Prover } from "../../src/zk/prover.ts";

export const MODELS = ["eth-risk", "payroll-check", "supply-route"] as const;
export const readModel = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(import.meta.dirname, "../../models", `${name}.onnx`)));

/** A model of ours, compiled and loaded under its name. */
export async function compiled(prover: Prover, name: string, options?: CompileOptions): Promise<CompiledModel> {
  const model = await readModel(name);
  const made = await compileModel(model, prover, options);
  await prover.ask({ task: "load", name, model, options: made.options, zkey: made.zkey });
  return made;
}

/** A proof for an input under some request bytes. */
export const proveFor = (
  prover: Prover,
  name: string,
  { key }: Pick<CompiledModel, "key">,
  input: readonly number[],
  request: Uint8Array = utf8("a request"),
): Promise<{ proof: string; signals: string[] }> =>
  prover.ask({
    task: "prove",
    name,
    input: input.map((value) => quantiseInput(value, key.scale)!),
    request: requestSignals(request),
  });
