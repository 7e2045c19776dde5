import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { openWorld, type Attack, type World } from "../hostile/world.ts";
import { failure } from "../http/servers.ts";
import { ETH_FEATURES } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";
import { rpcInFront } from "../support/rpc.ts";

let world: World;
beforeAll(async () => {
  world = await openWorld();
});
afterAll(() => world.stop());

const CALL = { model: "eth-risk", input: ETH_FEATURES, wait: "verified" } as const;

/** An honest seller, and a chain whose blocks are dated so many seconds behind. */
async function behind(seconds: number): Promise<Attack> {
  const rpc = await rpcInFront(world.market.devnet.rpcUrl, async ({ method }, honest) => {
    if (method !== "eth_getBlockByNumber") return undefined;
    const block = (await honest()) as { timestamp: string };
    return { result: { ...block, timestamp: `0x${(Number(block.timestamp) - seconds).toString(16)}` } };
  });
  return world.attack(
    (_request, honest) => honest(),
    ({ networks, payment }) => {
      for (const network of networks) network.rpcUrl = rpc.url;
      payment.assets = payment.assets.slice(0, 1);
    },
  );
}
const holdOf = async ({ buyer }: Attack) => (await buyer.sellers())[0]?.hold ?? null;

describe("T9: a chain whose time is behind", () => {
  test.each([86, -86])("by %s s, beyond the skew, is not paid on: no honest seller fails for it", async (seconds) => {
    const attack = await behind(seconds);
    const error = await failure(attack.buy());
    expect(error).toMatchObject({ code: "clock_disagrees", money: "not-moved" });
    expect(error.message).toMatch(/clock is 8[5-9] s (?:ahead of|behind) the chain's/);
    expect(error.next).toContain("The seller's attestation agrees with this machine's clock");
    expect(attack.payments()).toEqual([]);
    expect(await attack.plunder()).toBe(0n);
    expect(await holdOf(attack)).toBeNull();
  });

  test("within the skew is paid on, and what is paid verifies", async () => {
    const attack = await behind(40);
    const { receipt } = await attack.buy({}, { wait: "verified" });
    expect(newestAppraisal(receipt)).toMatchObject({ verdict: "verified", layers: { settlement: { status: "pass" } } });
    expect(await holdOf(attack)).toBeNull();
  });

  test.each([90, 105, -90])(
    "or a clock of our own %s s fast stops a payment to a seller that attests nothing",
    async (ahead) => {
      const attack = await world.attack(
        (_request, honest) => honest(),
        ({ sellers, payment }) => {
          for (const one of sellers) one.assurance = "none";
          payment.assets = payment.assets.slice(0, 1);
        },
      );
      const buyer = await attack.reopen(undefined, { clock: () => new Date(Date.now() + ahead * 1000) });
      const error = await failure(buyWith(buyer, { ...CALL, assurance: "none" }));
      expect(error).toMatchObject({ code: "clock_disagrees", money: "not-moved" });
      expect(error.next).toContain("Set this machine's clock");
      expect(attack.payments()).toEqual([]);
      expect((await buyer.sellers())[0]?.hold).toBeNull();
    },
  );
});
