import { afterAll, beforeAll, expect, test } from "vitest";
import { failure } from "../http/servers.ts";
import { eventually } from "../support/eventually.ts";
import { isCatalog, isPayment, listAt, openWorld, quoteWith, unpaid, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

test.each([
  ["no other authorization is signed", undefined],
  ["no person is asked for another one, and the buyer closes", "11000"],
])("T20: of a caller that left after its payment went out, %s", async (_name, approveAbove) => {
  let raised = false;
  let release = (): void => undefined;
  const held = new Promise<void>((resolve) => (release = resolve));
  let asked = 0;
  const attack = await world.attack(
    async (request, honest) => {
      if (!raised) return honest();
      if (isPayment(request)) {
        await held;
        return quoteWith(
          unpaid(world, request),
          ({ accepts }) => void Object.assign(accepts[0] ?? {}, { amount: "12000" }),
        );
      }
      return isCatalog(request) ? listAt(honest, "12000") : honest();
    },
    ({ payment }) => {
      for (const asset of payment.assets) if (approveAbove !== undefined) asset.approveAbove = approveAbove;
    },
  );
  await attack.buy({ seller: "honest" });
  raised = true;
  const caller = new AbortController();
  const told = failure(
    attack.buyer.buy(
      "eth-risk",
      { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] },
      {
        seller: "honest",
        idempotencyKey: "leaves-early",
        signal: caller.signal,
        approve: () => {
          asked += 1;
          return new Promise(() => undefined);
        },
      },
    ),
  );
  await eventually(() => expect(attack.payments()).toHaveLength(2));
  caller.abort();
  expect(await told).toMatchObject({ code: "aborted", money: "may-move", idempotencyKey: "leaves-early" });
  release();
  await attack.buyer.close();
  expect(attack.payments()).toHaveLength(2);
  expect(asked).toBe(0);
});
