import { createRequire } from "node:module";
import type * as Ezkl from "@ezkljs/engine";
import { bn254 } from "@noble/curves/bn254.js";
import { fromUtf8, joinBytes, sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { rawG1, rawG2 } from "../../src/evidence/kzg.ts";
import type { EzklEvidence } from "../../src/receipts/schema.ts";
import type { EzklReference } from "../../src/verify/policy.ts";
import type { EzklEngine } from "../../src/verify/types.ts";
import { compiledCircuit, settingsOf, type Circuit } from "./ezkl-circuit.ts";

/** EZKL's own engine, in this process: it makes keys and proofs, and checks many of them quickly. */
export const engine = createRequire(import.meta.url)("@ezkljs/engine") as typeof Ezkl;
/** Bytes as the engine takes them. */
export const file = (bytes: Uint8Array): Uint8ClampedArray => new Uint8ClampedArray(bytes);
const json = (value: unknown): Uint8ClampedArray => file(utf8(JSON.stringify(value)));

const { Fr } = bn254.fields;
const G1 = bn254.G1.Point;
const G2 = bn254.G2.Point;
/** The root of unity of order 2^28 that halo2 takes: 7 generates the field's multiplicative group. */
const ROOT = Fr.pow(7n, (Fr.ORDER - 1n) >> 28n);

/** What whoever makes a development setup knows, and could forge with. */
export const SECRET = 0x402_0402_0402_0402n;

/** [s]G2 in EIP-197 bytes. */
export function sG2Of(secret: bigint): string {
  const { x, y } = G2.BASE.multiply(secret).toAffine();
  return [x.c1, x.c0, y.c1, y.c0].map((value) => value.toString(16).padStart(64, "0")).join("");
}

/** A development setup's parameters for circuits of 2^k rows, in the form that EZKL reads. */
export function developmentSrs(k: number, secret: bigint): Uint8Array {
  const n = 2 ** k;
  const omega = Fr.pow(ROOT, 2n ** BigInt(28 - k));
  const vanishing = Fr.sub(Fr.pow(secret, BigInt(n)), 1n);
  const powers = Array.from({ length: n }, (_, at) => Fr.pow(secret, BigInt(at)));
  const basis = Array.from({ length: n }, (_, at) => {
    const root = Fr.pow(omega, BigInt(at));
    return Fr.div(Fr.mul(root, vanishing), Fr.mul(BigInt(n), Fr.sub(secret, root)));
  });
  const points = [...powers, ...basis].map((factor) => rawG1(G1.BASE.multiply(factor)));
  return joinBytes([Uint8Array.of(k, 0, 0, 0), ...points, rawG2(G2.BASE), rawG2(G2.BASE.multiply(secret))]);
}

/** What EZKL's own commands write: compiled circuit, settings, keys and parameters. */
export type EzklFiles = {
  circuit: Uint8Array;
  settings: Uint8Array;
  key: Uint8Array;
  provingKey: Uint8Array;
  srs: Uint8Array;
};

/** Sets a circuit up, as `ezkl setup` does. */
export function setUp(described: Circuit, secret = SECRET): EzklFiles {
  const circuit = compiledCircuit(described);
  const srs = developmentSrs(described.logrows, secret);
  const key = engine.genVk(file(circuit), file(srs), false);
  return {
    circuit,
    settings: utf8(JSON.stringify(settingsOf(described))),
    key,
    provingKey: engine.genPk(file(key), file(circuit), file(srs)),
    srs,
  };
}

/** Proves one input, as `ezkl prove` does: the proof file, and what came out. */
export function prove(
  { circuit, provingKey, srs }: EzklFiles,
  input: readonly number[],
): { proof: Uint8Array; outputs: number[] } {
  const witness = engine.genWitness(file(circuit), json({ input_data: [input] }));
  const { pretty_elements } = JSON.parse(fromUtf8(witness)) as { pretty_elements: { rescaled_outputs: string[][] } };
  return {
    proof: engine.prove(file(witness), file(provingKey), file(circuit), file(srs)),
    outputs: (pretty_elements.rescaled_outputs[0] ?? []).map(Number),
  };
}

export const evidenceOf = (
  { key, settings }: Pick<EzklFiles, "key" | "settings">,
  proof: Uint8Array,
): EzklEvidence => ({
  kind: "zk.ezkl",
  proof: toBase64(proof),
  key: toBase64(key),
  settings: toBase64(settings),
});

/** What a relying party pins of a circuit whose tensors are named `features` and `scores`. */
export const referenceOf = (
  { key, settings }: Pick<EzklFiles, "key" | "settings">,
  secret = SECRET,
): EzklReference => ({
  key: toHex(sha256(key)),
  settings: toHex(sha256(settings)),
  srs: { sG2: sG2Of(secret), setup: "development" },
  inputs: ["features"],
  outputs: ["scores"],
});

/** The engine of this process as a port: no process of its own, so only for files that it survives. */
export const engineHere: EzklEngine = ({ proof, key, settings, srs }) => {
  try {
    return Promise.resolve(engine.verify(file(proof), file(key), file(settings), file(srs)) ? "valid" : "refused");
  } catch {
    return Promise.resolve("refused");
  }
};
