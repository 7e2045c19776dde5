import type { PrivateKeyAccount } from "viem/accounts";
import type { Address } from "viem";
import type { Token } from "../../src/devnet/index.ts";
import { freshNonce, signAs, type Authorization } from "./authorizations.ts";

/** What a facilitator is sent: an x402 v2 payment and the requirements it is for. */
export type PaymentBody = { x402Version: 2; paymentPayload: unknown; paymentRequirements: Requirements };
type Requirements = {
  scheme: "exact";
  network: string;
  asset: Address;
  amount: string;
  payTo: Address;
  maxTimeoutSeconds: number;
  extra: { name: string; version: string };
};

/** A signed payment as a stock client makes it. `extra` is the domain that the requirements name. */
export async function paymentBody(options: {
  payer: PrivateKeyAccount;
  token: Token;
  payTo: Address;
  value: bigint;
  extra?: { name: string; version: string };
}): Promise<PaymentBody> {
  const { payer, token, payTo, value } = options;
  const requirements: Requirements = {
    scheme: "exact",
    network: "eip155:31337",
    asset: token.address,
    amount: String(value),
    payTo,
    maxTimeoutSeconds: 60,
    extra: options.extra ?? { name: token.name, version: token.version },
  };
  const message: Authorization = {
    from: payer.address,
    to: payTo,
    value,
    validAfter: 0n,
    validBefore: BigInt(Math.floor(Date.now() / 1000) + 600),
    nonce: freshNonce(),
  };
  const signed = { ...token, ...requirements.extra };
  const authorization = {
    ...message,
    value: String(value),
    validAfter: "0",
    validBefore: String(message.validBefore),
  };
  const signature = await signAs(payer, signed, "TransferWithAuthorization", message);
  const paymentPayload = { x402Version: 2, accepted: requirements, payload: { signature, authorization } };
  return { x402Version: 2, paymentPayload, paymentRequirements: requirements };
}
