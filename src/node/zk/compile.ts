import { toHex, sha256 } from "../../evidence/bytes.ts";
import { canonicalSha256 } from "../../evidence/canonical.ts";
import { g1Hex, readG1, sumOfMultiples, type G1Point } from "../../evidence/bn254.ts";
import { toField, type Groth16Key } from "../../evidence/groth16.ts";
import { Proof402Error } from "../../errors.ts";
import { toR1cs } from "./binary.ts";
import { buildCircuit, fillCircuit, type Circuit, type CircuitOptions } from "./circuit.ts";
import { openingOf } from "./commitment.ts";
import { measureDifference } from "./fixed-point.ts";
import { readProgram, type Program } from "./program.ts";
import type { VerificationPoints } from "./prover-messages.ts";
import type { Prover } from "./prover.ts";
import { compareWithRuntime } from "./runtime-check.ts";

/** What compiling a model is told. */
export type CompileOptions = Partial<CircuitOptions> & {
  /** A proving key over the same circuit, and what it comes from. Without one a development setup is made here. */
  proving?: { zkey: Uint8Array; setup: Groth16Key["setup"] } | undefined;
  /** How many random inputs the difference to floating point is measured on, and how large their numbers are. */
  sample?: { count: number; range: number };
  /** The secret under which weights are committed to, hex: given to make the same key again. Drawn where absent. */
  opening?: string | undefined;
};

/** Everything a seller needs to prove a model's answers, and what a buyer pins of it. */
export type CompiledModel = {
  options: CircuitOptions;
  key: Groth16Key;
  /** sha256(JCS(key)), hex: the name that buyers pin. */
  keySha256: string;
  zkey: Uint8Array;
  /** The constraints, for a ceremony. */
  r1cs: Uint8Array;
  constraints: number;
  /** The secret of committed weights, hex: with it and the model file anyone makes the same key, and learns the weights. */
  opening?: string | undefined;
};

const DEFAULT_CIRCUIT: CircuitOptions = { scale: 16, accumulatorBits: 44, weights: "folded", weightBits: 24 };
const DEFAULT_SAMPLE = { count: 1000, range: 2 };
/** Other inputs than the sampled ones may lie further apart. */
const HEADROOM = 4;
const LEAST_TOLERANCE = 1e-4;

/**
 * Compiles an ONNX file, and compares the circuit with what onnxruntime computes from the same bytes. Throws Proof402Error
 * `model_not_provable`, `snarkjs_missing`, `prover_failed`, or the codes of `openModel`.
 *
 * @example
 * ```ts
 * import { readFile } from "node:fs/promises";
 * import { compileModel, createProver, writeCompiled } from "proof402/node";
 *
 * const prover = createProver();
 * const compiled = await compileModel(await readFile("model.onnx"), prover, { weights: "constant" });
 * await writeCompiled("proving", "model", compiled);
 * await prover.close();
 * ```
 */
export async function compileModel(
  file: Uint8Array,
  prover: Prover,
  options: CompileOptions = {},
): Promise<CompiledModel> {
  const { proving, sample = DEFAULT_SAMPLE, opening: given, ...rest } = options;
  const circuitOptions = { ...DEFAULT_CIRCUIT, ...rest };
  const secret = circuitOptions.weights === "committed" ? { opening: given ?? drawOpening() } : {};
  const program = readProgram(file);
  const circuit = buildCircuit(program, circuitOptions, openingOf(secret.opening));
  const made =
    proving === undefined
      ? await prover.ask({ task: "setup", model: file, options: circuitOptions, ...secret })
      : { zkey: proving.zkey, ...(await prover.ask({ task: "read", zkey: proving.zkey })) };
  const key = makeKey({
    file,
    program,
    circuit,
    points: made.verification,
    options: circuitOptions,
    setup: proving?.setup ?? "development",
    sample,
  });
  await compareWithRuntime(file, program, key);
  return {
    options: circuitOptions,
    key,
    keySha256: toHex(canonicalSha256(key)),
    zkey: made.zkey,
    r1cs: toR1cs(circuit),
    constraints: circuit.constraints.length,
    ...secret,
  };
}

const drawOpening = (): string => toHex(crypto.getRandomValues(new Uint8Array(31)));

/**
 * The key of a model under a setup: anyone who holds the ONNX file and the setup's points makes the same one. Throws
 * Proof402Error `model_not_provable` where the points are of another circuit.
 */
function makeKey(made: {
  file: Uint8Array;
  program: Program;
  circuit: Circuit;
  points: VerificationPoints;
  options: CircuitOptions;
  setup: Groth16Key["setup"];
  sample: { count: number; range: number };
}): Groth16Key {
  const { file, program, circuit, points, options, setup, sample } = made;
  const { alpha1, beta2, gamma2, delta2 } = points;
  const difference = measureDifference(program, { scale: options.scale, ...sample });
  if (!Number.isFinite(difference.largestDifference))
    throw new Proof402Error("model_not_provable", "This model cannot be proved: its results are not finite.", {
      next: "Sample a smaller range.",
    });
  return {
    type: "proof402/groth16-key",
    version: 1,
    curve: "bn254",
    setup,
    modelSha256: toHex(sha256(file)),
    scale: options.scale,
    accumulatorBits: options.accumulatorBits,
    input: program.input,
    outputs: program.outputs,
    results: circuit.results,
    commitment: commitmentIn(circuit),
    tolerance: Math.max(LEAST_TOLERANCE, HEADROOM * difference.largestDifference),
    largestDifference: difference.largestDifference,
    sample,
    alpha1,
    beta2,
    gamma2,
    delta2,
    ic: foldWeights(points.ic, circuit),
  };
}

/** The commitment computed by the circuit, for any input. */
function commitmentIn(circuit: Circuit): string | null {
  if (circuit.commitment === null) return null;
  const values = fillCircuit(
    circuit,
    Array.from({ length: circuit.inputs }, () => 0n),
    [0n, 0n],
  );
  return String(toField(values[circuit.commitment] ?? 0n));
}

/** Works a model's weights into the setup's first point: the sum of each weight times its signal's point. */
function foldWeights(ic: readonly string[], { publics, weights }: Circuit): string[] {
  const points = ic.map(readG1).filter((point): point is G1Point => point !== null);
  const [first] = points;
  const own = publics - weights.length;
  if (first === undefined || points.length !== ic.length || ic.length !== publics + 1)
    throw new Proof402Error("model_not_provable", "The setup is of another circuit than this model's.", {
      next: "Use the proving key that was made from this model's .r1cs.",
    });
  return [g1Hex(first.add(sumOfMultiples(points.slice(1 + own), weights))), ...ic.slice(1, 1 + own)];
}
