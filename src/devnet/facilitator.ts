import { x402Facilitator } from "@x402/core/facilitator";
import { isPaymentPayloadV2, isPaymentRequirementsV2 } from "@x402/core/schemas";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/facilitator";
import { UptoEvmScheme } from "@x402/evm/upto/facilitator";
import { Hono, type Context } from "hono";
import { createWalletClient, nonceManager, publicActions, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { rpcTransport } from "./transport.ts";
import type { Anvil } from "./anvil.ts";
import { POLL_MS } from "./bank.ts";

/**
 * An x402 v2 facilitator over HTTP: `POST /verify`, `POST /settle`, `GET /supported`. Answers 400 to what is no payment.
 *
 * Transactions are prepared and sent one at a time. With a nonce manager alone, a settlement that fails while being prepared
 * (a replay, say) leaves a gap behind, and honest settlements beside it fail after the sellers have done their work.
 *
 * @example
 * ```ts
 * import { createFacilitator, openBank, serveLocally, startAnvil } from "proof402/devnet";
 *
 * const anvil = await startAnvil();
 * const bank = await openBank(anvil);
 * const { origin } = await serveLocally(createFacilitator(anvil, await bank.fundedKey()).fetch);
 * ```
 */
export function createFacilitator(anvil: Anvil, key: Hex): Hono {
  const account = privateKeyToAccount(key, { nonceManager });
  const client = createWalletClient({
    account,
    chain: foundry,
    transport: rpcTransport(anvil.rpcUrl),
    pollingInterval: POLL_MS,
  }).extend(publicActions);
  const inTurn = createTurns();
  const signer = toFacilitatorEvmSigner({
    // viem's generics are wider than the signer's; the actions are the ones it names.
    ...(client as unknown as Parameters<typeof toFacilitatorEvmSigner>[0]),
    address: account.address,
    writeContract: (call) => inTurn(() => client.writeContract(call)),
    sendTransaction: (transaction) => inTurn(() => client.sendTransaction(transaction)),
  });
  const facilitator = new x402Facilitator()
    .register(`eip155:${anvil.chainId}`, new ExactEvmScheme(signer))
    .register(`eip155:${anvil.chainId}`, new UptoEvmScheme(signer))
    .register(`eip155:${anvil.chainId}`, new BatchSettlementEvmScheme(signer));
  const app = new Hono();
  app.onError((_error, c) => c.json({ error: "the facilitator failed" }, 500));
  // Sellers on this machine look at the same chain where an answer of ours is lost.
  const rpcUrls = { [`eip155:${anvil.chainId}`]: anvil.rpcUrl };
  app.get("/supported", (c) => c.json({ ...facilitator.getSupported(), rpcUrls }));
  app.post("/verify", (c) => withPayment(c, (payment, offer) => facilitator.verify(payment, offer)));
  app.post("/settle", (c) => withPayment(c, (payment, offer) => facilitator.settle(payment, offer)));
  return app;
}

async function withPayment<T extends object>(
  c: Context,
  answer: (payment: PaymentPayload, offer: PaymentRequirements) => Promise<T>,
): Promise<Response> {
  const body = (await c.req.json<unknown>().catch(() => null)) as {
    paymentPayload?: unknown;
    paymentRequirements?: unknown;
  } | null;
  const { paymentPayload, paymentRequirements } = body ?? {};
  const isPayment = isPaymentPayloadV2(paymentPayload) && isPaymentRequirementsV2(paymentRequirements);
  if (!isPayment && !isClaim(paymentPayload, paymentRequirements)) {
    return c.json({ error: "the body is not an x402 v2 payment with its requirements" }, 400);
  }
  return c.json(await answer(paymentPayload as PaymentPayload, paymentRequirements as PaymentRequirements));
}

/**
 * A seller's own call: claims of vouchers, or the payout after claims. x402's channel manager sends it with a time
 * limit of 0, forbidden for a payment.
 */
function isClaim(payment: unknown, requirements: unknown): boolean {
  const { payload } = (payment ?? {}) as { payload?: { type?: unknown } };
  const { scheme, network } = (requirements ?? {}) as { scheme?: unknown; network?: unknown };
  return (
    scheme === "batch-settlement" &&
    typeof network === "string" &&
    (payload?.type === "claim" || payload?.type === "settle")
  );
}

/** Runs work one piece after another, even if the one before failed. */
function createTurns(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  return (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined);
    return mine;
  };
}
