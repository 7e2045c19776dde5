import { readFile } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Command } from "commander";
import { Proof402Error } from "../errors.ts";
import type { Groth16Key } from "../evidence/groth16.ts";
import type { CircuitOptions } from "../node/zk/circuit.ts";
import { OPENING } from "../node/zk/commitment.ts";
import { compileModel } from "../node/zk/compile.ts";
import { requireNoProvingFiles, writeCompiled } from "../node/zk/proving-files.ts";
import { createProver } from "../node/zk/prover.ts";
import { EXIT, globals, note, printResult } from "./globals.ts";
import { wholeNumber } from "./numbers.ts";
import { busy } from "./progress.ts";

type Options = {
  out: string;
  name?: string;
  weights: CircuitOptions["weights"];
  scale: string;
  accumulatorBits: string;
  weightBits: string;
  opening?: string;
  zkey?: string;
  setup: Groth16Key["setup"];
};

/** `proof402 node zk compile`: a model's circuit and keys as files, and the hash that its buyers pin. */
export async function compileProof(file: string, options: Options, command: Command): Promise<number> {
  const name = options.name ?? basename(file).replace(/\.onnx$/, "");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/.test(name)) throw invalid("--name is letters, digits, . _ -.");
  const scale = wholeNumber(options.scale, "--scale", { from: 1, to: 24 });
  const accumulatorBits = wholeNumber(options.accumulatorBits, "--accumulator-bits", { from: 2 * scale + 2, to: 52 });
  const weightBits = wholeNumber(options.weightBits, "--weight-bits", { from: scale + 1, to: 40 });
  const opening =
    options.opening === undefined ? undefined : new TextDecoder().decode(await read(options.opening)).trim();
  if (opening !== undefined && (options.weights !== "committed" || !OPENING.test(opening)))
    throw invalid("--opening names a file of 62 hex digits, with --weights committed.");
  const [model, zkey] = await Promise.all([read(file), options.zkey === undefined ? undefined : read(options.zkey)]);
  await requireNoProvingFiles(resolve(options.out), name);
  const prover = createProver();
  try {
    const compiled = await busy("Compiling the model and making its keys", () =>
      compileModel(model, prover, {
        scale,
        accumulatorBits,
        weights: options.weights,
        weightBits,
        opening,
        proving: zkey && { zkey, setup: options.setup },
      }),
    );
    const files = await writeCompiled(resolve(options.out), name, compiled);
    const { key, keySha256, constraints } = compiled;
    if (globals(command).json === true)
      printResult(
        { name, keySha256, constraints, key, files },
        `Have buyers pin keySha256 for "${name}": proof402 node reference prints their entry`,
      );
    else {
      note(`${name}: ${constraints} constraints, ${key.ic.length - 1} public signals, setup: ${key.setup}`);
      note(
        `fixed point differs from floating point by ${key.largestDifference.toExponential(1)} at most on ${key.sample.count} inputs; tolerance ${key.tolerance.toExponential(1)}`,
      );
      for (const one of files) note(`  ${one}`);
      note(`\nBuyers pin, in the seller's reference values:\n  "proofs": { "${name}": "${keySha256}" }`);
      if (compiled.opening !== undefined)
        note(
          "\nThe weights are committed to: keep the .opening file with the model. Who is given both makes the same key with --opening and --zkey, and so checks what the commitment is of.",
        );
      if (key.setup === "development")
        note(
          "\nDevelopment setup: this machine made the key alone and could forge proofs. For production, run a ceremony over the .r1cs (snarkjs groth16 setup on a public powers-of-tau file, several contributions, a beacon) and compile again with --zkey.",
        );
    }
    return EXIT.ok;
  } finally {
    await prover.close();
  }
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw new Proof402Error("file_unreadable", `${path} could not be read.`, {
      next: "Name a file that exists.",
      cause: error,
    });
  }
}

const invalid = (message: string): Proof402Error =>
  new Proof402Error("invalid_input", message, { next: "Correct the command line." });
