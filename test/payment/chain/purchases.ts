import { parseSignature, type Hex } from "viem";
import { startAnvil, type Anvil } from "../../../src/devnet/anvil.ts";
import { markSent, markSigned } from "../../../src/payment/journal.ts";
import type { PaymentPolicy } from "../../../src/payment/policy.ts";
import { reserve } from "../../../src/payment/reserve.ts";
import type { PurchaseRecord, Refusal } from "../../../src/payment/types.ts";
import { walletFromPrivateKey } from "../../../src/payment/wallet.ts";
import type { Db } from "../../../src/storage/database.ts";
import { accept, policyWith, requirement, reservation, usdc } from "../fixtures.ts";
import { newKey, openTestChain, type TestChain } from "./token.ts";

/** A chain with a token on it, and a wallet that pays with it. */
export type Ground = {
  anvil: Anvil;
  chain: TestChain;
  policy: PaymentPolicy;
  /** The chain's own clock. */
  now(): Promise<Date>;
  /** A purchase of 10000 base units that was sent, or why the policy refused it. */
  buy(db: Db): Promise<PurchaseRecord | Refusal>;
  /** As {@link buy}, of one that the policy lets through. */
  bought(db: Db): Promise<PurchaseRecord>;
  /** What a seller's facilitator does with it. */
  redeem(purchase: PurchaseRecord): Promise<Hex>;
  /** Mines the block after which the purchase's authorization is over, and some on top. */
  passEnd(purchase: PurchaseRecord): Promise<void>;
  stop(): Promise<void>;
};

/** Starts it. `total` is the cap of the policy in base units. */
export async function openGround(total: string): Promise<Ground> {
  const anvil = await startAnvil();
  const chain = await openTestChain(anvil.rpcUrl);
  const wallet = walletFromPrivateKey(newKey());
  const cap = { perCall: "10000", perHour: total, perDay: total, total };
  const policy = policyWith([{ ...usdc, asset: chain.token, ...cap }]);
  const now = async (): Promise<Date> => new Date(Number((await chain.client.getBlock()).timestamp) * 1000);
  const buy = async (db: Db): Promise<PurchaseRecord | Refusal> => {
    const { offer, accepted } = accept(requirement({ asset: chain.token, amount: "10000" }), policy);
    const at = await now();
    const result = await reserve(db, reservation({ now: at, policy, offer, accepted, payer: wallet.address }));
    if (result.kind === "refused") return result.refusal;
    if (result.kind !== "reserved") throw new Error(result.kind);
    await markSigned(db, result.purchase.id, { now: at });
    await markSent(db, result.purchase.id, { now: at });
    return result.purchase;
  };
  return {
    anvil,
    chain,
    policy,
    now,
    buy,
    async bought(db) {
      const purchase = await buy(db);
      if ("code" in purchase) throw new Error(purchase.code);
      return purchase;
    },
    async redeem({ payment, offer }) {
      const { v, r, s } = parseSignature(await wallet.signAuthorization(payment, offer));
      const { payer, payTo, amount, validAfter, validBefore, nonce } = payment;
      const terms = [payer, payTo, amount, validAfter, validBefore, nonce, Number(v), r, s];
      return chain.call("transferWithAuthorization", terms);
    },
    async passEnd({ payment }) {
      await chain.client.setNextBlockTimestamp({ timestamp: BigInt(payment.validBefore + 1) });
      await chain.client.mine({ blocks: 3, interval: 1 });
    },
    stop: () => anvil.stop(),
  };
}
