import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { utf8 } from "../../src/evidence/bytes.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import { quantiseInput, requestSignals } from "../../src/evidence/groth16.ts";
import { compileModel, type CompiledModel, type CompileOptions } from "../../src/node/zk/compile.ts";
import type { Groth16Evidence } from "../../src/receipts/schema.ts";
import type { Prover } from "../../src/node/zk/prover.ts";

export const MODELS = ["eth-risk", "payroll-check", "supply-route"] as const;
export const readModel = async (name: string): Promise<Uint8Array> =>
  new Uint8Array(await readFile(join(await packageModelsDirectory(), `${name}.onnx`)));

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

export type Proof = Pick<Groth16Evidence, "key" | "proof" | "signals">;

/** Field elements of 32 bytes each. */
export const words = (hex: string): bigint[] => hex.match(/.{64}/g)!.map((word) => BigInt(`0x${word}`));

/** Key, signals and proof in snarkjs' own form. */
export function snarkjsForm({ key, proof, signals }: Proof): [unknown, unknown, unknown] {
  const g1 = (hex: string): string[] => [...words(hex).map(String), "1"];
  const g2 = (hex: string): string[][] => {
    const [xi, xr, yi, yr] = words(hex).map(String);
    return [
      [xr!, xi!],
      [yr!, yi!],
      ["1", "0"],
    ];
  };
  return [
    {
      protocol: "groth16",
      curve: "bn128",
      nPublic: signals.length,
      vk_alpha_1: g1(key.alpha1),
      vk_beta_2: g2(key.beta2),
      vk_gamma_2: g2(key.gamma2),
      vk_delta_2: g2(key.delta2),
      IC: key.ic.map(g1),
    },
    signals,
    {
      protocol: "groth16",
      curve: "bn128",
      pi_a: g1(proof.slice(0, 128)),
      pi_b: g2(proof.slice(128, 384)),
      pi_c: g1(proof.slice(384)),
    },
  ];
}
