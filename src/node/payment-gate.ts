import { decodePaymentSignatureHeader } from "@x402/core/http";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/hono";
import type { Context } from "hono";
import type { PaymentMethod } from "../evidence/payment-method.ts";
import type { LoadedModel } from "./inference.ts";

/** How a node is paid. Prices in base units of its token. */
export type NodePayment = {
  network: `eip155:${number}`;
  asset: `0x${string}`;
  /** The token's EIP-712 domain. */
  domain: { name: string; version: string };
  payTo: `0x${string}`;
  facilitatorUrl: string;
  /** Longest time from signature to settlement, seconds. */
  maxTimeoutSeconds?: number;
  /** Ways to pay that are offered, in this order; EIP-3009 alone by default. */
  methods?: readonly PaymentMethod[];
  /** Other tokens taken, at `rate` base units of theirs for one base unit of the first. */
  also?: readonly { asset: `0x${string}`; domain: { name: string; version: string }; rate: bigint }[];
};

export type ServedModel = { model: LoadedModel; price: string };

const DEFAULT_TIMEOUT_SECONDS = 120;
/** Rows of input that an `upto` offer covers: the model's price is per row, and the rows answered are what is settled. */
const UPTO_ROWS = 8n;

/** One priced route per model, settled after the work: an answer of status 400 or above is not charged. */
export function paymentGate(
  served: readonly ServedModel[],
  payment: NodePayment,
): ReturnType<typeof paymentMiddleware> {
  const server = new x402ResourceServer(new HTTPFacilitatorClient({ url: payment.facilitatorUrl }))
    .register(payment.network, new ExactEvmScheme())
    .register(payment.network, new UptoEvmScheme());
  const routes = Object.fromEntries(
    served.map(({ model, price }) => [
      `POST /v2/models/${model.name}/infer`,
      {
        accepts: offersOf(payment, BigInt(price)),
        description: `One inference of ${model.name}`,
        mimeType: "application/json",
      },
    ]),
  );
  return paymentMiddleware(routes, server);
}

type Offers = {
  scheme: "exact" | "upto";
  network: NodePayment["network"];
  payTo: string;
  maxTimeoutSeconds: number;
  price: { asset: string; amount: string; extra: Record<string, unknown> };
}[];

function offersOf(payment: NodePayment, price: bigint): Offers {
  const { network, payTo, maxTimeoutSeconds = DEFAULT_TIMEOUT_SECONDS, methods = ["eip3009"], also = [] } = payment;
  const tokens = [{ asset: payment.asset, domain: payment.domain, rate: 1n }, ...also];
  return tokens.flatMap(({ asset, domain, rate }) =>
    methods.map((method) => {
      const upto = method === "upto";
      const amount = String(price * rate * (upto ? UPTO_ROWS : 1n));
      const extra = { ...domain, ...(method === "eip3009" ? {} : { assetTransferMethod: "permit2" }) };
      return {
        scheme: upto ? ("upto" as const) : ("exact" as const),
        network,
        payTo,
        maxTimeoutSeconds,
        price: { asset, amount, extra },
      };
    }),
  );
}

/** Under `upto`, has the rows that were answered settled, and not what was allowed. */
export function chargeByRows(c: Context, rows: number): void {
  const header = c.req.header("payment-signature");
  if (header === undefined) return;
  const { accepted } = decodePaymentSignatureHeader(header);
  if (accepted.scheme !== "upto") return;
  const perRow = BigInt(accepted.amount) / UPTO_ROWS;
  const wanted = perRow * BigInt(rows);
  setSettlementOverrides(c, { amount: String(wanted < BigInt(accepted.amount) ? wanted : accepted.amount) });
}
