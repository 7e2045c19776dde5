import type { EzklEvidence, Receipt } from "../../src/receipts/schema.ts";
import { makeFixture, type Fixture } from "./fixture-receipt.ts";
import type { Circuit } from "./ezkl-circuit.ts";

/** A circuit that shows what it can: everything public, and its weights in the key. */
export const CIRCUIT: Circuit = {
  weights: [
    [0.125, 0.25],
    [0.375, 0.5],
    [-0.625, 0.75],
    [0.875, -1],
  ],
  logrows: 6,
  visibility: { inputs: "Public", outputs: "Public", weights: "Fixed" },
};
export const INPUT = [0.5, -1.25, 2, 3];

/** A purchase whose request has this input and whose answer these numbers. */
export const fixtureOf = (input: readonly number[], answer: readonly number[], name = "scores"): Promise<Fixture> => {
  const tensor = (called: string, data: readonly number[]) => [
    { name: called, shape: [1, data.length], datatype: "FP32", data },
  ];
  return makeFixture({
    request: (nonce) => JSON.stringify({ id: nonce, inputs: tensor("features", input) }),
    response: (nonce) => JSON.stringify({ model_name: "eth-risk", id: nonce, outputs: tensor(name, answer) }),
  });
};

/** The receipt with proofs that came later. */
export const receiptWith = ({ receipt }: Fixture, ...evidence: EzklEvidence[]): Receipt => ({
  ...receipt,
  later: [...receipt.later, ...evidence.map((one) => ({ at: receipt.core.response.receivedAt, evidence: one }))],
});
