import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { failure } from "../http/servers.ts";
import { isPayment, openWorld, PRICE, type Attack, type World } from "./world.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const settled = (attack: Attack, count: number): Promise<void> =>
  vi.waitFor(
    async () => {
      await attack.buyer.reconcile();
      const { recent } = await attack.buyer.spending();
      expect(recent.filter(({ state }) => state === "settled")).toHaveLength(count);
    },
    // A busy machine takes its time.
    { timeout: 20_000 },
  );
const holdOf = async (attack: Attack): Promise<string | null> =>
  (await attack.buyer.sellers())[0]?.hold?.reason ?? null;

describe("T80: a thief that names a content coding under the headers of another answer", () => {
  const stealing = async (coding: string, stolen: (id: string) => string): Promise<Attack> => {
    let headers: Record<string, string> = {};
    return world.attack(async (request, honest) => {
      const answer = await honest();
      if (!isPayment(request)) return answer;
      // The signature of the first answer, which was honest, goes with all that follow.
      const first = Object.keys(headers).length === 0;
      if (first) headers = Object.fromEntries(answer.headers);
      return first
        ? answer
        : new Response(stolen((JSON.parse(request.body) as { id: string }).id), {
            headers: { ...headers, "content-encoding": coding },
          });
    });
  };

  test.each(["foo", "gzip", "gzip, br"])("(%s) is on hold from its first taken payment on", async (coding) => {
    const attack = await stealing(coding, () => "you have been robbed");
    await attack.buy();
    const { readable, answer } = await attack.buy();
    expect({ readable, answer }).toEqual({
      readable: false,
      answer: { encoding: "utf8", body: "you have been robbed" },
    });
    await attack.plunder();
    await settled(attack, 2);
    expect(await holdOf(attack)).toMatch(/^answer_undecoded: it was paid/);
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
    expect(await attack.plunder()).toBe(2n * PRICE);
  });

  test("and takes nothing yet is on hold after three of them", async () => {
    const attack = await world.attack(
      (request, honest) =>
        isPayment(request) ? new Response("x", { headers: { "content-encoding": "foo" } }) : honest(),
      ({ sellers }) => sellers.forEach((one) => (one.assurance = "none")),
    );
    for (const _call of [1, 2, 3]) expect(await attack.buy({ assurance: "none" })).toMatchObject({ readable: false });
    expect(await holdOf(attack)).toMatch(/^payments_in_doubt: 3 or more/);
  });

  test("and sends what reads as an answer is judged by its signature", async () => {
    const outputs = [{ name: "class", datatype: "INT64", shape: [1], data: [2] }];
    const attack = await stealing("foo", (id) => JSON.stringify({ model_name: "eth-risk", id, outputs }));
    await attack.buy();
    const { receipt } = await attack.buy();
    expect(newestAppraisal(receipt).verdict).toBe("failed");
    expect(await failure(attack.buy())).toMatchObject({ code: "seller_on_hold", money: "not-moved" });
  });
});
