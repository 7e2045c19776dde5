import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { sha256, toHex } from "../../../src/evidence/bytes.ts";
import { BN254_R, toField } from "../../../src/evidence/groth16.ts";
import { isProved } from "../../../src/verify/computation/groth16.ts";
import { buildCircuit, fillCircuit, type CircuitOptions } from "../../../src/node/zk/circuit.ts";
import { commitWeights } from "../../../src/node/zk/commitment.ts";
import { readCompiled, writeCompiled } from "../../../src/node/zk/proving-files.ts";
import { constant, valueOf, wire, type Linear } from "../../../src/node/zk/linear-combination.ts";
import { poseidonOf, poseidonWires } from "../../../src/node/zk/poseidon.ts";
import { readProgram } from "../../../src/node/zk/program.ts";
import { compileModel } from "../../../src/node/zk/compile.ts";
import { createProver } from "../../../src/node/zk/prover.ts";
import { createWires, type Wires } from "../../../src/node/zk/wires.ts";
import { cases } from "../../support/campaign.ts";
import { perceptron, seeded } from "../../support/onnx-files.ts";
import { proveFor, readModel } from "../../support/proof.ts";

/** The values of wires that follow from others in the order in which they were laid out. */
function valuesOf({ fillings }: Wires): (linear: Linear) => bigint {
  const values = new Map<number, bigint>([[0, 1n]]);
  const at = (linear: Linear): bigint =>
    toField([...linear].reduce((sum, [one, by]) => sum + by * (values.get(one) ?? 0n), 0n));
  for (const filling of fillings) {
    if (filling.kind === "given") values.set(filling.wire, filling.value);
    if (filling.kind === "product") values.set(filling.wire, toField(at(filling.a) * at(filling.b)));
  }
  return at;
}
/** Megabytes are compared by their hash: what an assertion prints of them no machine has memory for. */
const digest = (bytes: Uint8Array): string => toHex(sha256(bytes));
const element = fc.bigInt({ min: 0n, max: BN254_R - 1n });

describe("Poseidon", () => {
  test("of 1, 2, 3 and 4 is what circom's library computes", () => {
    expect(poseidonOf([1n, 2n, 3n, 4n])).toBe(0x299c867db6c1fdd79dcefa40e4510b9837e60ebb1ce0663dbaa525df65250465n);
  });

  test("as constraints is the same as in plain numbers", () => {
    fc.assert(
      fc.property(fc.array(element, { minLength: 4, maxLength: 4 }), (inputs) => {
        const wires = createWires();
        const hash = poseidonWires(
          wires,
          inputs.map((value) => wires.given(value)),
        );
        expect(valuesOf(wires)(hash)).toBe(poseidonOf(inputs));
      }),
      { numRuns: 20 },
    );
  });
});

describe("a commitment", () => {
  const commit = (weights: readonly bigint[], opening: bigint, bits = 24): bigint => {
    const wires = createWires();
    const hash = commitWeights(
      wires,
      weights.map((value) => ({ linear: wires.given(value), bits })),
      opening,
    );
    return valuesOf(wires)(hash);
  };
  // Ten weights of 24 bits fit into a number: 35 are four numbers, and two blocks of three.
  const weights = Array.from({ length: 35 }, (_, k) => BigInt((k * 7919) % 8_000_000) * (k % 2 === 0 ? 1n : -1n));

  test("is the chain of hashes over the packed weights that begins at the opening", () => {
    const pack = (some: readonly bigint[]): bigint =>
      some.reduce((sum, weight, k) => sum + ((weight + (1n << 23n)) << BigInt(24 * k)), 0n);
    const packed = [0, 10, 20, 30].map((at) => pack(weights.slice(at, at + 10)));
    const first = poseidonOf([5n, ...packed.slice(0, 3)]);
    expect(commit(weights, 5n)).toBe(poseidonOf([first, packed[3]!, 0n, 0n]));
  });

  test("changes with every weight and with the opening", () => {
    const own = commit(weights, 5n);
    // In a test run the ends of each packed number, and one inside.
    const places = cases([0, 4, 9, 10, 29, 30, 34], [...weights.keys()]);
    const others = [commit(weights, 6n), ...places.map((at) => commit(weights.with(at, weights[at]! + 1n), 5n))];
    expect(new Set([own, ...others]).size).toBe(places.length + 2);
  });

  test("is of no weight that has more bits than it states", async () => {
    const program = readProgram(await readModel("eth-risk"));
    const options: CircuitOptions = { scale: 16, accumulatorBits: 44, weights: "committed", weightBits: 16 };
    // That is weights below one half, and this model has larger ones.
    expect(() => buildCircuit(program, options)).toThrow(expect.objectContaining({ code: "model_not_provable" }));
  });

  test("of a weight outside its bits breaks the constraints, however its wire came by it", () => {
    const wires = createWires();
    const weight = wires.given(1n << 23n);
    commitWeights(wires, [{ linear: weight, bits: 24 }], 0n);
    const bits = wires.fillings.find((filling) => filling.kind === "bits")!;
    if (bits.kind !== "bits") throw new Error("unreachable");
    // The sum to be decomposed is 2^24: one more bit than there are.
    expect(valueOf(bits.of, [1n])).toBe(1n << 23n);
    expect(valuesOf(wires)(bits.of) >> BigInt(bits.count)).toBe(1n);
  });
});

describe("a model with committed weights", () => {
  const FEATURES = [1.02, 0.1, 0.98, 0.9];
  const prover = createProver();
  let directory: string;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), "proof402-commitment-"));
  });
  afterAll(async () => {
    await prover.close();
    await rm(directory, { recursive: true, force: true });
  });

  test("is proved under a key that shows none of them, and nothing but the same weights is", async () => {
    const model = perceptron([4, 3, 2], seeded(1));
    const made = await compileModel(model, prover, { weights: "committed" });
    expect(made.opening).toMatch(/^[0-9a-f]{62}$/);
    const { key, options, zkey, opening } = made;
    await writeCompiled(directory, "scores", made);
    const files = await readCompiled(directory, "scores");
    expect({ ...files, zkey: digest(files.zkey) }).toEqual({ key, options, zkey: digest(zkey), opening });
    expect((await stat(join(directory, "scores.opening"))).mode & 0o777).toBe(0o600);
    expect(await readFile(join(directory, "scores.key.json"), "utf8")).not.toContain(opening);

    const { key: _key, ...proving } = files;
    await prover.ask({ task: "load", name: "scores", model, ...proving });
    const proof = await proveFor(prover, "scores", made, FEATURES);
    expect(proof.signals.at(-1)).toBe(key.commitment);
    expect(isProved({ key, ...proof })).toBe(true);

    // Another model under the same circuit, setup and opening can be proved, but says another commitment.
    const other = perceptron([4, 3, 2], seeded(2));
    await prover.ask({ task: "load", name: "other", model: other, ...proving });
    const forged = await proveFor(prover, "other", made, FEATURES);
    expect(isProved({ key, ...forged })).toBe(true);
    expect(forged.signals.at(-1)).not.toBe(key.commitment);
    expect(isProved({ key, ...forged, signals: [...forged.signals.slice(0, -1), key.commitment!] })).toBe(false);

    // Who is shown model and opening makes the same key; another opening makes another.
    const again = await compileModel(model, prover, {
      weights: "committed",
      opening: opening!,
      proving: { zkey, setup: "development" },
    });
    expect(again.keySha256).toBe(made.keySha256);
    const reopened = await compileModel(model, prover, {
      weights: "committed",
      proving: { zkey, setup: "development" },
    });
    expect(reopened.key.commitment).not.toBe(key.commitment);
    expect(digest(reopened.r1cs)).toBe(digest(made.r1cs));
  });
});

test("a circuit with committed weights publishes none of them", async () => {
  const program = readProgram(await readModel("eth-risk"));
  const circuit = buildCircuit(program, { scale: 16, accumulatorBits: 44, weights: "committed", weightBits: 24 }, 7n);
  const zeros = Array.from({ length: circuit.inputs }, () => 0n);
  const values = fillCircuit(circuit, zeros, [0n, 0n]);
  expect(circuit.publics).toBe(circuit.results + circuit.inputs + 3);
  expect(circuit.weights).toEqual([]);
  expect(circuit.commitment).toBe(circuit.publics);
  expect(valueOf(wire(circuit.publics), values)).not.toBe(valueOf(constant(0n), values));
});
