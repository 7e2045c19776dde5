import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Proof402Error } from "../../errors.ts";
import { fileExists, isThere, writeNew } from "../../files/write-new.ts";
import type { Groth16Key } from "../../evidence/groth16.ts";
import type { CircuitOptions } from "./circuit.ts";
import type { CompiledModel } from "./compile.ts";

/** What a node reads to prove one model. */
export type ProvingFiles = {
  options: CircuitOptions;
  key: Groth16Key;
  zkey: Uint8Array;
  /** The secret of committed weights, hex. */
  opening?: string | undefined;
};

/** The files of a model's proofs in a directory. */
const namesOf = (directory: string, name: string) => ({
  key: join(directory, `${name}.key.json`),
  circuit: join(directory, `${name}.circuit.json`),
  zkey: join(directory, `${name}.zkey`),
  r1cs: join(directory, `${name}.r1cs`),
  opening: join(directory, `${name}.opening`),
});

/**
 * Throws Proof402Error `file_exists` if a directory has a model's proving files already. Its opening is the only way to
 * show a commitment's content. Call this before a long compilation.
 */
export async function requireNoProvingFiles(directory: string, name: string): Promise<void> {
  for (const path of Object.values(namesOf(directory, name))) if (await isThere(path)) throw fileExists(path);
}

/**
 * Writes the compilation's results: the key for buyers to pin, circuit options, proving key and constraints, and for
 * committed weights the opening, readable by the owner alone. Throws Proof402Error `file_exists` before anything is
 * written.
 *
 * @example
 * ```ts
 * import { writeCompiled, type CompiledModel } from "proof402/node";
 *
 * const save = (compiled: CompiledModel): Promise<string[]> => writeCompiled("proving", "model", compiled);
 * ```
 */
export async function writeCompiled(directory: string, name: string, compiled: CompiledModel): Promise<string[]> {
  await requireNoProvingFiles(directory, name);
  const { opening, ...open } = namesOf(directory, name);
  await writeNew(open.zkey, compiled.zkey);
  await writeNew(open.r1cs, compiled.r1cs);
  await writeNew(open.circuit, `${JSON.stringify(compiled.options, null, 2)}\n`);
  await writeNew(open.key, `${JSON.stringify(compiled.key, null, 2)}\n`);
  if (compiled.opening === undefined) return Object.values(open);
  await writeNew(opening, `${compiled.opening}\n`, { mode: 0o600 });
  return [...Object.values(open), opening];
}

/**
 * Reads them back. Throws Proof402Error `proving_key_missing`.
 *
 * @example
 * ```ts
 * import { readCompiled } from "proof402/node";
 *
 * const { key, zkey } = await readCompiled("proving", "model");
 * ```
 */
export async function readCompiled(directory: string, name: string): Promise<ProvingFiles> {
  const names = namesOf(directory, name);
  try {
    const [key, circuit, zkey] = await Promise.all([
      readFile(names.key, "utf8"),
      readFile(names.circuit, "utf8"),
      readFile(names.zkey),
    ]);
    const options = JSON.parse(circuit) as CircuitOptions;
    return {
      key: JSON.parse(key) as Groth16Key,
      options,
      zkey: new Uint8Array(zkey),
      opening: options.weights === "committed" ? (await readFile(names.opening, "utf8")).trim() : undefined,
    };
  } catch (error) {
    throw new Proof402Error("proving_key_missing", `The proving files of "${name}" in ${directory} cannot be read.`, {
      next: "Make them with: proof402 node zk compile MODEL.onnx --out DIRECTORY",
      cause: error,
    });
  }
}
