import { encodeFunctionData, type Address, type Hex, type LocalAccount } from "viem";
import { devExactProxy } from "../../src/devnet/contracts/dev-exact-proxy.artifact.ts";
import { devUptoProxy } from "../../src/devnet/contracts/dev-upto-proxy.artifact.ts";
import { EXACT_PROXY, UPTO_PROXY } from "../../src/evidence/permit2.ts";
import { payerOf } from "../../src/payment/methods/methods.ts";
import type { Payment } from "../../src/receipts/schema.ts";

/** The call by which a facilitator settles a payment by Permit2 that `account` signed; `requested` is what it takes of an upto one. */
export async function settleCall(
  payment: Payment,
  account: Pick<LocalAccount, "signTypedData">,
  requested = BigInt(payment.amount),
): Promise<{ to: Address; input: Hex }> {
  const signature = await account.signTypedData(payerOf(payment).typedDataOf(payment, { name: "", version: "" }));
  const permit = {
    permitted: { token: payment.asset, amount: BigInt(payment.amount) },
    nonce: BigInt(payment.nonce),
    deadline: BigInt(payment.validBefore),
  };
  const owner = payment.payer;
  const witness = { to: payment.payTo, validAfter: BigInt(payment.validAfter) };
  if (payment.scheme === "upto") {
    const named = { ...witness, facilitator: payment.facilitator };
    const args = [permit, requested, owner, named, signature] as const;
    return { to: UPTO_PROXY, input: encodeFunctionData({ abi: devUptoProxy.abi, functionName: "settle", args }) };
  }
  const args = [permit, owner, witness, signature] as const;
  return { to: EXACT_PROXY, input: encodeFunctionData({ abi: devExactProxy.abi, functionName: "settle", args }) };
}
