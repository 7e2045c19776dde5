import { toHex, sha256 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { provedNumbers } from "../../src/evidence/proved-answer.ts";
import type { Groth16Evidence } from "../../src/receipts/schema.ts";
import { compileModel } from "../../src/node/zk/compile.ts";
import { createProver } from "../../src/node/zk/prover.ts";
import { MODEL, makeFixture, type Fixture, type FixtureChanges } from "./fixture-receipt.ts";
import { perceptron, seeded } from "./onnx-files.ts";
import { proveFor } from "./proof.ts";

/** Makes fixtures whose answer a zero-knowledge proof shows, under a policy that asks for one. */
export type ProvenMaker = {
  /** `input`: the two numbers that are asked about. */
  make: (changes?: FixtureChanges, input?: readonly [number, number]) => Promise<Fixture>;
  close: () => Promise<void>;
};

/** Compiles a model of two numbers once: each fixture then takes one proof. */
export async function openProvenMaker(): Promise<ProvenMaker> {
  const prover = createProver();
  const model = perceptron([2, 1], seeded(402));
  const made = await compileModel(model, prover, { sample: { count: 10, range: 2 } });
  await prover.ask({ task: "load", name: MODEL, model, options: made.options, zkey: made.zkey });
  const { key } = made;
  const [input, output] = [key.input.name, key.outputs[0]?.name ?? ""];
  const tensor = (name: string, data: readonly number[]) => ({ name, shape: [1, data.length], datatype: "FP32", data });
  return {
    async make(changes = {}, asked = [0.5, -1.25]) {
      let proof: Groth16Evidence | undefined;
      const { receipt, policy, evaluateAt } = await makeFixture({
        ...changes,
        modelSha256: toHex(sha256(model)),
        request: (nonce) => JSON.stringify({ id: nonce, inputs: [tensor(input, asked)] }),
        async response(nonce, request) {
          const proved = await proveFor(prover, MODEL, made, asked, request);
          proof = { kind: "zk.groth16", key, ...proved };
          const outputs = [tensor(output, provedNumbers(proof.signals, key) ?? [])];
          return JSON.stringify({ model_name: MODEL, id: nonce, outputs });
        },
      });
      if (proof === undefined) throw new Error("the answer was not asked for");
      const at = receipt.later[0]?.at ?? receipt.core.response.receivedAt;
      const [seller] = Object.values(policy.sellers);
      return {
        receipt: { ...receipt, later: [...receipt.later, { at, evidence: proof }] },
        policy: {
          ...policy,
          assurance: "proven",
          developmentSetups: true,
          sellers: { fixture: { ...seller!, proofs: { [MODEL]: toHex(canonicalSha256(key)) } } },
        },
        evaluateAt,
      };
    },
    close: () => prover.close(),
  };
}
