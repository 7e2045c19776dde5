import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { fromBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalSha256 } from "../../src/evidence/canonical.ts";
import { fromField } from "../../src/evidence/groth16.ts";
import type { Groth16Evidence, Receipt } from "../../src/receipts/schema.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { appraisalPolicySchema } from "../../src/verify/policy.ts";
import { compileModel, type CompiledModel } from "../../src/node/zk/compile.ts";
import { createProver } from "../../src/node/zk/prover.ts";
import { perceptron, seeded } from "../support/onnx-files.ts";
import { proveFor } from "../support/proof.ts";
import { hashed, receiptCore } from "../support/receipt-core.ts";

const MODEL = "credit-risk";
const INPUT = [0.5, -1.25, 0.75, 1];
const WIDTHS = [4, 3, 2];

const prover = createProver();
let made: CompiledModel;
beforeAll(async () => {
  const model = perceptron(WIDTHS, seeded(3));
  made = await compileModel(model, prover, { weights: "committed" });
  const { options, zkey, opening } = made;
  const same = { options, zkey, ...(opening === undefined ? {} : { opening }) };
  await prover.ask({ task: "load", name: MODEL, model, ...same });
  await prover.ask({ task: "load", name: "other", model: perceptron(WIDTHS, seeded(4)), ...same });
});
afterAll(() => prover.close());

/** A receipt whose answer is what the named model's proof says. */
async function receiptBy(name: string, change: (proof: Groth16Evidence) => Groth16Evidence = (one) => one) {
  const tensor = { name: "x", shape: [1, INPUT.length], datatype: "FP32", data: INPUT };
  const core = receiptCore("secret weights");
  Object.assign(core.request, hashed(utf8(JSON.stringify({ id: core.request.nonce, inputs: [tensor] }))));
  const { key } = made;
  const proof = await proveFor(prover, name, made, INPUT, fromBase64(core.request.body!));
  const results = proof.signals
    .slice(0, key.results)
    .map((one) => Number(fromField(BigInt(one))) / 2 ** (2 * key.scale));
  const output = { name: "y", shape: [1, key.results], datatype: "FP32", data: results };
  Object.assign(core.response, hashed(utf8(JSON.stringify({ model_name: MODEL, outputs: [output] }))));
  return createReceipt({ ...core, evidence: [change({ kind: "zk.groth16", key, ...proof })] });
}

async function judge(receipt: Receipt) {
  const policy = appraisalPolicySchema.parse({
    developmentSetups: true,
    sellers: { [receipt.core.seller.id]: { proofs: { [MODEL]: toHex(canonicalSha256(made.key)) } } },
  });
  const { layers, notProven } = await appraise({
    receipt,
    policy,
    now: new Date(),
    evaluateAt: new Date(receipt.core.response.receivedAt),
  });
  return { computation: layers.computation, notProven: notProven.join(" ") };
}

describe("a proof of secret weights", () => {
  test("passes under the pinned commitment, and says that the weights were shown to nobody", async () => {
    const { computation, notProven } = await judge(await receiptBy(MODEL));
    expect(computation).toMatchObject({ status: "pass", note: expect.stringContaining("secret behind a commitment") });
    expect(notProven).toContain("the proved weights are those of the named model file");
  });

  test("of other weights fails, with their commitment as with the pinned one put in its place", async () => {
    const honest = await judge(await receiptBy("other"));
    expect(honest.computation).toMatchObject({ status: "fail", code: "proof_of_another_request" });
    const renamed = await judge(
      await receiptBy("other", (proof) => ({
        ...proof,
        signals: [...proof.signals.slice(0, -1), made.key.commitment!],
      })),
    );
    expect(renamed.computation).toMatchObject({ status: "fail", code: "proof_invalid" });
    expect(renamed.notProven).not.toContain("the proved weights");
  });

  test("fails without its commitment, and under a key that says there is none", async () => {
    const short = await judge(await receiptBy(MODEL, (proof) => ({ ...proof, signals: proof.signals.slice(0, -1) })));
    expect(short.computation).toMatchObject({ status: "fail" });
    const open = await judge(
      await receiptBy(MODEL, (proof) => ({ ...proof, key: { ...proof.key, commitment: null } })),
    );
    expect(open.computation).toMatchObject({ status: "fail", code: "proof_key_mismatch" });
  });
});
