import type { Address } from "viem";
import type { PrivateKeyAccount } from "viem/accounts";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  createFacilitator,
  openBank,
  serveLocally,
  startAnvil,
  type Anvil,
  type Bank,
  type Served,
} from "../../src/devnet/index.ts";
import { newAccount } from "./authorizations.ts";
import { paymentBody } from "./payments.ts";

type World = { anvil: Anvil; bank: Bank; facilitator: Served; payer: PrivateKeyAccount };

async function openWorld(options: { blockSeconds?: number } = {}): Promise<World> {
  const anvil = await startAnvil(options);
  const bank = await openBank(anvil);
  const facilitator = await serveLocally(createFacilitator(anvil, await bank.fundedKey()).fetch);
  const payer = newAccount();
  await bank.token.mint(payer.address, 1_000_000n);
  return { anvil, bank, facilitator, payer };
}

let world: World;

beforeAll(async () => {
  world = await openWorld();
});
afterAll(async () => {
  await world.facilitator.stop();
  await world.anvil.stop();
});

type Answer = {
  success?: boolean;
  isValid?: boolean;
  invalidReason?: string;
  errorReason?: string;
  transaction?: string;
};

async function post(path: "/verify" | "/settle", body: unknown, at = world): Promise<Answer> {
  const response = await fetch(`${at.facilitator.origin}${path}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  expect(response.status).toBe(200);
  return (await response.json()) as Answer;
}

const payee = (): Address => newAccount().address;
const payment = (payTo: Address, value = 10n, at = world) =>
  paymentBody({ payer: at.payer, token: at.bank.token, payTo, value });

describe("settlement", () => {
  it("succeeds for 16 payments at once", async () => {
    const payTo = payee();
    const bodies = await Promise.all(Array.from({ length: 16 }, () => payment(payTo)));
    const answers = await Promise.all(bodies.map((body) => post("/settle", body)));
    expect(answers.map(({ success }) => success)).toEqual(bodies.map(() => true));
    expect(new Set(answers.map(({ transaction }) => transaction)).size).toBe(16);
    expect(await world.bank.balanceOf(payTo)).toBe(160n);
  });

  it("succeeds for payments at once on a chain with an interval between blocks", async () => {
    const slow = await openWorld({ blockSeconds: 1 });
    try {
      const payTo = payee();
      const bodies = await Promise.all(Array.from({ length: 8 }, () => payment(payTo, 10n, slow)));
      const answers = await Promise.all(bodies.map((body) => post("/settle", body, slow)));
      expect(answers.map(({ success }) => success)).toEqual(bodies.map(() => true));
      expect(await slow.bank.balanceOf(payTo)).toBe(80n);
    } finally {
      await slow.facilitator.stop();
      await slow.anvil.stop();
    }
  });

  it("is not disturbed by replays beside it", async () => {
    const payTo = payee();
    const used = await payment(payTo);
    expect((await post("/settle", used)).success).toBe(true);
    // Where the replays fall among the others decides which of them they could disturb.
    for (const period of [2, 3, 4]) {
      const honest = await Promise.all(Array.from({ length: 6 }, () => payment(payTo)));
      const before = await world.bank.balanceOf(payTo);
      const paid: Promise<Answer>[] = [];
      const replayed: Promise<Answer>[] = [];
      for (const [index, body] of honest.entries()) {
        paid.push(post("/settle", body));
        if (index % period < period - 1) replayed.push(post("/settle", used));
      }
      expect((await Promise.all(paid)).map(({ success }) => success)).toEqual(honest.map(() => true));
      for (const { errorReason } of await Promise.all(replayed)) {
        expect(errorReason).toBe("invalid_exact_evm_nonce_already_used");
      }
      expect(await world.bank.balanceOf(payTo)).toBe(before + 60n);
    }
  });

  it("happens once for one payment sent four times at once", async () => {
    const payTo = payee();
    const body = await payment(payTo);
    const answers = await Promise.all([1, 2, 3, 4].map(() => post("/settle", body)));
    expect(answers.filter(({ success }) => success === true)).toHaveLength(1);
    expect(await world.bank.balanceOf(payTo)).toBe(10n);
    expect((await post("/settle", await payment(payTo))).success).toBe(true);
  });
});

describe("verification", () => {
  it("passes a good payment and moves nothing", async () => {
    const payTo = payee();
    expect(await post("/verify", await payment(payTo))).toMatchObject({ isValid: true, payer: world.payer.address });
    expect(await world.bank.balanceOf(payTo)).toBe(0n);
  });

  it("names the reason: used, too dear, another token's domain, another signer", async () => {
    const { bank, payer } = world;
    const used = await payment(payee());
    await post("/settle", used);
    const dear = await payment(payee(), 10n ** 12n);
    const extra = { name: "Another Coin", version: "2" };
    const foreign = await paymentBody({ payer, token: bank.token, payTo: payee(), value: 1n, extra });
    const stranger = await paymentBody({ payer: newAccount(), token: bank.token, payTo: payee(), value: 1n });
    const { paymentPayload } = await payment(stranger.paymentRequirements.payTo, 1n);
    const reasons = await Promise.all(
      [used, dear, foreign, stranger, { ...stranger, paymentPayload: swapPayer(paymentPayload) }].map((body) =>
        post("/verify", body),
      ),
    );
    expect(reasons.map(({ invalidReason }) => invalidReason)).toEqual([
      "invalid_exact_evm_nonce_already_used",
      "invalid_exact_evm_insufficient_balance",
      "invalid_exact_evm_token_name_mismatch",
      "invalid_exact_evm_insufficient_balance",
      "invalid_exact_evm_signature",
    ]);
  });
});

/** The same signed payment in somebody else's name. */
function swapPayer(payload: unknown): unknown {
  const copy = structuredClone(payload) as { payload: { authorization: { from: string } } };
  copy.payload.authorization.from = newAccount().address;
  return copy;
}

describe("the HTTP face", () => {
  it("says what it supports and who signs", async () => {
    const supported = (await (await fetch(`${world.facilitator.origin}/supported`)).json()) as {
      kinds: unknown[];
      signers: Record<string, string[]>;
    };
    expect(supported.kinds).toContainEqual(
      expect.objectContaining({ x402Version: 2, scheme: "exact", network: "eip155:31337" }),
    );
    expect(Object.values(supported.signers).flat()).toHaveLength(1);
  });

  it.each(["", "{", "null", "[]", "{}", `{"paymentPayload":{},"paymentRequirements":{}}`, `"text"`, "7"])(
    "answers 400 to %j",
    async (body) => {
      for (const path of ["/verify", "/settle"]) {
        const response = await fetch(`${world.facilitator.origin}${path}`, { method: "POST", body });
        expect(response.status).toBe(400);
        expect(await response.json()).toEqual({ error: expect.any(String) as string });
      }
    },
  );
});
