import { join } from "node:path";
import { expect, test } from "vitest";
import { sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { createProofs } from "../../src/node/proofs.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import type { Groth16Key } from "../../src/evidence/groth16.ts";
import type { Tensor } from "../../src/evidence/exchange/tensors.ts";
import type { Prover } from "../../src/node/zk/prover.ts";

/** A prover in the middle of a proof that never comes: no real one stays busy for as long as a test needs. */
const busy: Prover = {
  ask: ({ task }: { task: string }) =>
    (task === "load" ? Promise.resolve(undefined) : new Promise(() => undefined)) as never,
  close: () => Promise.resolve(),
};
const key = { modelSha256: "ab", scale: 16, input: { name: "features", count: 2 } } as Groth16Key;
const row = (...data: number[]): Tensor => ({ name: "features", datatype: "FP32", shape: [1, 2], data });
const idOf = (request: Uint8Array): string => toHex(sha256(request));

test("every order for a model that is proved has its record, a reason where there will be no proof", async () => {
  const path = join(await packageModelsDirectory(), "eth-risk.onnx");
  const proofs = await createProofs(
    { prover: busy, models: { risk: { key, options: {} as never, zkey: new Uint8Array() } } },
    [{ name: "risk", sha256: "ab", path }],
  );
  const ordered = (name: string, ...inputs: Tensor[]): string => {
    const request = utf8(name);
    proofs.add("risk", { request, inputs, outputs: [] });
    return idOf(request);
  };
  const told = {
    other_inputs: [
      ordered("none"),
      ordered("two", row(1, 2), row(1, 2)),
      ordered("another", { ...row(1, 2), name: "other" }),
    ],
    not_one_row: [ordered("rows", { ...row(1, 2), shape: [2, 1] })],
    input_too_large: [ordered("large", row(1, 1e9)), ordered("no number", row(1, Number.POSITIVE_INFINITY))],
  };
  for (const [code, ids] of Object.entries(told))
    for (const id of ids) expect(proofs.get(id)).toEqual({ state: "failed", code });

  const waiting = Array.from({ length: 256 }, (_, at) => ordered(`waits ${at}`, row(at, 1)));
  expect(waiting.map((id) => proofs.get(id)?.state)).toEqual(waiting.map(() => "pending"));
  expect(proofs.get(ordered("too many", row(1, 2)))).toEqual({ state: "failed", code: "prover_busy" });
  // What is on its way stays so when it is ordered again.
  expect(proofs.get(ordered("waits 0", row(0, 1)))).toEqual({ state: "pending" });
});
