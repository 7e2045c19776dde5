import { utf8 } from "../../src/evidence/bytes.ts";
import { readEzklProof } from "../../src/evidence/ezkl.ts";
import { kzgVerifierParams } from "../../src/evidence/kzg.ts";
import { createEzklEngine } from "../../src/ezkl/engine.ts";
import type { EzklCheck, EzklEngine } from "../../src/verify/types.ts";
import { developmentSrs, engine, engineHere, file, prove, sG2Of, SECRET, type EzklFiles } from "../support/ezkl.ts";
import { compiledCircuit, settingsOf, type Circuit } from "../support/ezkl-circuit.ts";
import { interleaved, row, type Line } from "./measure.ts";

/** A linear layer whose weights are in the key, with rows enough for it. */
const linear = (inputs: number, outputs: number, logrows: number): Circuit => ({
  weights: Array.from({ length: inputs }, (_, k) =>
    Array.from({ length: outputs }, (_none, at) => Math.sin(k + 7 * at)),
  ),
  logrows,
  visibility: { inputs: "Public", outputs: "Public", weights: "Fixed" },
});

/** EZKL's engine: keys, proving, and checking here and in a process of its own. Its circuits are not those timed above. */
export async function benchEzkl(rounds: number): Promise<Line[]> {
  const subjects = [
    ["8 x 2", linear(8, 2, 6)],
    ["64 x 10", linear(64, 10, 10)],
  ] as const;
  const lines: Line[] = [];
  for (const [name, circuit] of subjects) lines.push(...(await benchCircuit(name, circuit, rounds)));
  return [
    "  @ezkljs/engine 21.0.0 beside it (halo2, KZG, one thread). It compiles no ONNX, so that no model above can be proved with it:",
    "  each circuit is one linear layer written by hand, without activation, range check or nonce.",
    ...lines,
  ];
}

async function benchCircuit(name: string, described: Circuit, rounds: number): Promise<Line[]> {
  const circuit = compiledCircuit(described);
  const srs = developmentSrs(described.logrows, SECRET);
  const [key, verifyingKeyMs] = timed(() => engine.genVk(file(circuit), file(srs), false));
  const [provingKey, provingKeyMs] = timed(() => engine.genPk(file(key), file(circuit), file(srs)));
  const files: EzklFiles = { circuit, settings: utf8(JSON.stringify(settingsOf(described))), key, provingKey, srs };
  const input = described.weights.map((_, at) => Math.cos(at));
  const [made, firstMs] = timed(() => prove(files, input));
  const check: EzklCheck = { ...files, proof: made.proof, srs: kzgVerifierParams(sG2Of(SECRET)) ?? srs };
  const apart = createEzklEngine();
  const some = Math.max(3, Math.min(rounds, 10));
  const proving = await interleaved(
    { prove: () => Promise.resolve(void prove(files, input)) },
    { rounds: some, warmup: 1 },
  );
  const checking = await interleaved(
    { here: () => verified(engineHere, check), apart: () => verified(apart, check) },
    { rounds: some, warmup: 2 },
  );
  const ms = (times: Record<string, number>, arm: string): number => times[arm] ?? Number.NaN;
  const kib = (bytes: Uint8Array): string => `${(bytes.length / 1024).toFixed(1)} KiB`;
  const bytes = readEzklProof(made.proof)?.proof.length ?? 0;
  return [
    `  EZKL, linear layer ${name}: 2^${described.logrows} rows; proof ${bytes} B (${kib(made.proof)} of JSON), key ${kib(key)}, proving key ${kib(provingKey)}`,
    row("verification key", verifyingKeyMs),
    row("proving key", provingKeyMs),
    row("prove, first (witness, proof)", firstMs),
    row("prove, warm", ms(proving, "prove")),
    row("verify, in a process of its own, as buyers do", ms(checking, "apart")),
    row("verify, warm in this process", ms(checking, "here")),
    "",
  ];
}

function timed<T>(run: () => T): [T, number] {
  const began = performance.now();
  const made = run();
  return [made, performance.now() - began];
}

async function verified(check: EzklEngine, what: EzklCheck): Promise<void> {
  if ((await check(what)) !== "valid") throw new Error("the proof did not verify");
}
