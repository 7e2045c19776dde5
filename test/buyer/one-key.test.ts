import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { openWorld, tell, type World } from "../support/money-world.ts";
import { openSimulatedMarket, type SimulatedMarket } from "../support/simulated-market.ts";
import { buyWith } from "../support/buy.ts";

let directory: string;
let market: SimulatedMarket;
let world: World;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402-key-"));
  market = await openSimulatedMarket();
  world = await openWorld({ directory, market, path: null, name: "buyer.db" });
});
afterEach(async () => {
  await world.close();
  await market.stop();
  await rm(directory, { recursive: true, force: true });
});

const ask = (args: number, name: { idempotencyKey: string } | { callKey: string }) =>
  tell(buyWith(world.process.buyer, { model: "m", input: { x: [args] }, ...name }));

it("hands no call the answer to another question, whichever of two calls under one key comes first", async () => {
  const told = await Promise.all([0, 1].map((args) => ask(args, { idempotencyKey: "one-key-for-both" })));
  const answers = told.flatMap((one, args) => (one.kind === "result" ? [{ asked: args, answered: one.args }] : []));
  expect(answers).toHaveLength(1);
  expect(answers[0]?.answered).toBe(answers[0]?.asked);
  const [refused] = told.filter((one) => one.kind === "error");
  expect(refused?.error).toMatchObject({ code: "idempotency_conflict", idempotencyKey: "one-key-for-both" });
  expect(world.ledger.entries).toHaveLength(1);
});

it("says of a surface's key that names another call what became of that key's money", async () => {
  expect(await ask(0, { callKey: "thread-1-call-1" })).toMatchObject({ kind: "result" });
  const told = await ask(1, { callKey: "thread-1-call-1" });
  expect(told).toMatchObject({
    kind: "error",
    error: {
      code: "idempotency_conflict",
      money: expect.stringMatching(/^(?:may-move|moved)$/),
      idempotencyKey: "thread-1-call-1",
    },
  });
});

it("takes up a call that was refused once, made again and lost, in place of paying beside it", async () => {
  const request = { model: "m", input: { x: [0] } };
  const caller = new AbortController();
  caller.abort();
  const refused = await tell(
    buyWith(world.process.buyer, { ...request, idempotencyKey: "made-twice" }, { signal: caller.signal }),
  );
  expect(refused).toMatchObject({ kind: "error", error: { code: "aborted", money: "not-moved" } });
  world.whenPaid = () => {
    world.process.kill();
    return Promise.resolve(false);
  };
  await ask(0, { idempotencyKey: "made-twice" });
  world.whenPaid = null;
  await world.open(world.policy);
  expect(await tell(buyWith(world.process.buyer, request))).toMatchObject({ kind: "result", key: "made-twice" });
  expect(world.ledger.entries).toHaveLength(1);
});
