import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Proof402Error } from "../errors.ts";
import type { Groth16Key } from "../evidence/groth16.ts";
import type { CircuitOptions } from "./circuit.ts";
import type { CompiledModel } from "./compile.ts";

/** What a node reads to prove one model. */
export type ProvingFiles = {
  options: CircuitOptions;
  key: Groth16Key;
  zkey: Uint8Array;
  /** The secret of committed weights, hex. */
  opening?: string;
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
 * Writes what a compilation made: the key that buyers pin, circuit options, proving key and constraints, and of committed
 * weights the opening, for the owner alone to read.
 */
export async function writeCompiled(directory: string, name: string, compiled: CompiledModel): Promise<string[]> {
  await mkdir(directory, { recursive: true });
  const names = namesOf(directory, name);
  await writeFile(names.zkey, compiled.zkey);
  await writeFile(names.r1cs, compiled.r1cs);
  await writeFile(names.circuit, `${JSON.stringify(compiled.options, null, 2)}\n`);
  await writeFile(names.key, `${JSON.stringify(compiled.key, null, 2)}\n`);
  const { opening, ...open } = names;
  // A file that exists would keep its mode.
  await rm(opening, { force: true });
  if (compiled.opening === undefined) return Object.values(open);
  await writeFile(opening, `${compiled.opening}\n`, { mode: 0o600, flag: "wx" });
  return Object.values(names);
}

/** Reads them back. Throws Proof402Error `proving_key_missing`. */
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
      ...(options.weights === "committed" ? { opening: (await readFile(names.opening, "utf8")).trim() } : {}),
    };
  } catch (error) {
    throw new Proof402Error("proving_key_missing", `The proving files of "${name}" in ${directory} cannot be read.`, {
      next: "Make them with: proof402 node zk compile MODEL.onnx --out DIRECTORY",
      cause: error,
    });
  }
}
