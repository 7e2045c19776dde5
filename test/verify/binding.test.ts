import { expect, test } from "vitest";
import { authorizationHash } from "../../src/evidence/eip3009.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

test("another payment to the same seller, in itself flawless, cannot be shown as the payment for this answer", async () => {
  const { receipt, policy, evaluateAt } = await makeFixture();
  const { payment } = receipt.core;
  const nonce = `0x${"77".repeat(32)}`;
  const other = {
    ...payment,
    nonce,
    authorizationHash: authorizationHash(
      { name: "USD Coin", version: "2", chainId: 31_337, verifyingContract: payment.asset },
      {
        from: payment.payer,
        to: payment.payTo,
        value: payment.amount,
        validAfter: payment.validAfter,
        validBefore: payment.validBefore,
        nonce,
      },
    ),
  };
  const forged = { ...createReceipt({ ...receipt.core, payment: other }), later: receipt.later };
  const { layers, verdict } = await appraise({ receipt: forged, policy, now: new Date(), evaluateAt });
  expect(layers.payment).toMatchObject({ status: "fail", code: "request_not_bound" });
  expect(verdict).toBe("failed");
});
