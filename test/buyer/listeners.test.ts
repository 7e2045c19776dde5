import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openBuyer } from "../../src/buyer/open.ts";
import { createProof402Tools } from "../../src/langchain/tools.ts";
import { walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { buyWith } from "../support/buy.ts";

let market: Market;
beforeAll(async () => {
  market = await openMarket();
});
afterAll(() => market.stop());

const unhandled: unknown[] = [];
const note = (reason: unknown): void => void unhandled.push(reason);
beforeEach(() => {
  unhandled.length = 0;
  process.on("unhandledRejection", note);
});
afterEach(() => void process.off("unhandledRejection", note));

const FAILURES: Record<string, () => unknown> = {
  throws: () => {
    throw new Error("its own business");
  },
  rejects: () => Promise.reject(new Error("its own business")),
  "rejects by what is only like a promise": () => ({
    // oxlint-disable-next-line unicorn/no-thenable -- what other libraries return
    then: (_: unknown, reject: (reason: Error) => void) => reject(new Error("its own business")),
  }),
};

test.each(Object.keys(FAILURES))("T33: a listener that %s costs neither the answer nor the process", async (name) => {
  let told = 0;
  const listen = (): void => {
    told += 1;
    // As a caller's listener may, whatever its type says.
    return FAILURES[name]?.() as void;
  };
  const wallet = walletFromPrivateKey(market.devnet.privateKey);
  const buyer = await openBuyer({ config: market.config(), wallet, onVerdict: listen });
  try {
    buyer.onReceipt(listen);
    const request = { model: "eth-risk", input: ETH_FEATURES, seller: "honest", wait: "verified" } as const;
    const result = await buyWith(buyer, request, { onProgress: listen });
    expect(result).toMatchObject({ paidNow: true, stored: true, appraisal: { verdict: "verified" } });
    // Seven steps, a landing, three stored changes or so: each kind of listener was told.
    expect(told).toBeGreaterThan(9);

    told = 0;
    const [, buyInference] = createProof402Tools({ buyer });
    const config = { writer: listen, configurable: {} };
    const answer: unknown = await buyInference.invoke(
      { model: "eth-risk", input: ETH_FEATURES, seller: "honest" },
      config,
    );
    expect(String(answer)).toContain("The payment was sent in this call.");
    expect(told).toBeGreaterThan(6);
    // Rejections without a listener are told of once the microtasks have run.
    await new Promise((resolve) => setImmediate(resolve));
    expect(unhandled).toEqual([]);
  } finally {
    await buyer.close();
  }
});
