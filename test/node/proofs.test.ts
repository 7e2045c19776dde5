import { join } from "node:path";
import { expect, test } from "vitest";
import { sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { createProofs, keptSchema } from "../../src/node/proofs.ts";
import { packageModelsDirectory } from "../../src/node/index.ts";
import type { Groth16Key } from "../../src/evidence/groth16.ts";
import type { Tensor } from "../../src/evidence/exchange/tensors.ts";
import { openShelves } from "../../src/node/shelf.ts";
import type { Prover } from "../../src/node/zk/prover.ts";
import type { ProverTask } from "../../src/node/zk/prover-messages.ts";
import { eventually } from "../support/eventually.ts";

/** A prover in the middle of a proof that never comes: no real one stays busy for as long as a test needs. */
const busy: Prover = {
  ask: ({ task }: { task: string }) =>
    (task === "load" ? Promise.resolve(undefined) : new Promise(() => undefined)) as never,
  close: () => Promise.resolve(),
};
const key = { modelSha256: "ab", scale: 16, input: { name: "features", count: 2 } } as Groth16Key;
const row = (...data: number[]): Tensor => ({ name: "features", datatype: "FP32", shape: [1, 2], data });
const idOf = (request: Uint8Array): string => toHex(sha256(request));

test("T110: every order for a model that is proved has its record over a restart, and a reason for no proof", async () => {
  const path = join(await packageModelsDirectory(), "eth-risk.onnx");
  const shelf = (await openShelves()).named("proof", keptSchema);
  const models = { risk: { key, options: {} as never, zkey: new Uint8Array() } };
  const served = [{ name: "risk", sha256: "ab", path }];
  const proofs = await createProofs({ prover: busy, models }, served, shelf);
  const ordered = async (name: string, ...inputs: Tensor[]): Promise<string> => {
    const request = utf8(name);
    await proofs.add("risk", { request, inputs, response: utf8("{}") });
    return idOf(request);
  };
  const told = {
    other_inputs: [
      await ordered("none"),
      await ordered("two", row(1, 2), row(1, 2)),
      await ordered("another", { ...row(1, 2), name: "other" }),
    ],
    not_one_row: [await ordered("rows", { ...row(1, 2), shape: [2, 1] })],
    input_too_large: [
      await ordered("large", row(1, 1e9)),
      await ordered("no number", row(1, Number.POSITIVE_INFINITY)),
    ],
  };
  for (const [code, ids] of Object.entries(told))
    for (const id of ids) expect(proofs.get(id)).toEqual({ state: "failed", code });

  const waiting = await Promise.all(Array.from({ length: 256 }, (_, at) => ordered(`waits ${at}`, row(at, 1))));
  expect(waiting.map((id) => proofs.get(id)?.state)).toEqual(waiting.map(() => "pending"));
  expect(proofs.get(await ordered("too many", row(1, 2)))).toEqual({ state: "failed", code: "prover_busy" });
  // What is on its way stays so when it is ordered again.
  expect(proofs.get(await ordered("waits 0", row(0, 1)))).toEqual({ state: "pending" });

  // Its process is killed. The next one on the file proves all that waited, and what its prover's end left unproved.
  const asked = new Set<string>();
  const ended: Prover = {
    ask: ((task: ProverTask) => {
      if (task.task !== "prove") return Promise.resolve(null);
      asked.add(String(task.input));
      return Promise.reject(new Error("the prover ended"));
    }) as never,
    close: () => Promise.resolve(),
  };
  for (const _process of ["second", "third"]) {
    asked.clear();
    const next = await createProofs({ prover: ended, models }, served, shelf);
    expect(next.pending()).toBe(256);
    expect(next.get(waiting[0]!)).toEqual({ state: "pending" });
    await eventually(() => expect(next.pending()).toBe(0));
    expect(asked.size).toBe(256);
    expect(next.get(told.not_one_row[0]!)).toEqual({ state: "failed", code: "not_one_row" });
  }
  // A key that is not the one of the order proves nothing of it, also if its payer asks again; put back it does.
  const gone = { state: "failed", code: "key_gone" };
  const other = { risk: { ...models.risk, key: { ...key, scale: 8 } } };
  const another = await createProofs({ prover: ended, models: other }, served, shelf);
  expect([another.pending(), another.get(waiting[0]!)]).toEqual([0, gone]);
  await another.add("risk", { request: utf8("waits 0"), inputs: [row(0, 1)], response: utf8("{}") });
  expect([another.pending(), another.get(waiting[0]!)]).toEqual([0, gone]);
  const back = await createProofs({ prover: busy, models }, served, shelf);
  expect([back.pending(), back.get(waiting[0]!)]).toEqual([256, { state: "pending" }]);
});

test("of more records than a node keeps the oldest go from its file while it runs", async () => {
  const path = join(await packageModelsDirectory(), "eth-risk.onnx");
  const shelf = (await openShelves()).named("proof", keptSchema);
  const models = { risk: { key, options: {} as never, zkey: new Uint8Array() } };
  const proofs = await createProofs({ prover: busy, models }, [{ name: "risk", sha256: "ab", path }], shelf, 2);
  const requests = ["first", "second", "third"].map(utf8);
  for (const request of requests) await proofs.add("risk", { request, inputs: [], response: utf8("{}") });
  expect((await shelf.load()).map(([id]) => id)).toEqual(requests.slice(1).map(idOf));
  expect(proofs.get(idOf(requests[0]!))).toBeNull();
});
