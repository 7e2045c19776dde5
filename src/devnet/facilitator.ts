import { x402Facilitator } from "@x402/core/facilitator";
import type { PaymentPayload, PaymentRequirements } from "@x402/core/types";
import { toFacilitatorEvmSigner } from "@x402/evm";
import { ExactEvmScheme } from "@x402/evm/exact/facilitator";
import { Hono } from "hono";
import { createWalletClient, http, nonceManager, publicActions, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import type { Anvil } from "./anvil.ts";
import { POLL_MS } from "./token.ts";

/**
 * A facilitator over HTTP (`/verify`, `/settle`, `/supported`). The nonce manager hands out transaction nonces one by one:
 * without it, concurrent settlements collide after the sellers have done their work.
 */
export function createFacilitator(anvil: Anvil, key: Hex): Hono {
  const account = privateKeyToAccount(key, { nonceManager });
  const client = createWalletClient({ account, chain: foundry, transport: http(anvil.rpcUrl), pollingInterval: POLL_MS }).extend(publicActions);
  // viem's generics are wider than the signer's; the actions are the ones it names.
  const signer = toFacilitatorEvmSigner({ ...client, address: account.address } as unknown as Parameters<typeof toFacilitatorEvmSigner>[0]);
  const facilitator = new x402Facilitator().register(`eip155:${anvil.chainId}`, new ExactEvmScheme(signer));
  type Request = { paymentPayload: PaymentPayload; paymentRequirements: PaymentRequirements };
  const app = new Hono();
  app.onError((_error, c) => c.json({ error: "the facilitator failed" }, 500));
  app.get("/supported", (c) => c.json(facilitator.getSupported()));
  app.post("/verify", async (c) => {
    const body = await c.req.json<Request>();
    return c.json(await facilitator.verify(body.paymentPayload, body.paymentRequirements));
  });
  app.post("/settle", async (c) => {
    const body = await c.req.json<Request>();
    return c.json(await facilitator.settle(body.paymentPayload, body.paymentRequirements));
  });
  return app;
}
