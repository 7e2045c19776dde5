import { decodePaymentSignatureHeader } from "@x402/core/http";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { BatchSettlementEvmScheme } from "@x402/evm/batch-settlement/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { paymentMiddleware, setSettlementOverrides, x402ResourceServer } from "@x402/hono";
import type { Context } from "hono";
import { privateKeyToAccount } from "viem/accounts";
import type { PaymentMethod } from "../evidence/payment-method.ts";
import type { LoadedModel } from "../onnx/inference.ts";
import type { ModelDescription } from "./models.ts";

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
  /** For payment by vouchers: the key that authorizes claims, and how often they are made. */
  channels?: { authorizerKey: `0x${string}`; claimSeconds: number };
  /** Other tokens taken, at `rate` base units of theirs for one base unit of the first. */
  also?: readonly { asset: `0x${string}`; domain: { name: string; version: string }; rate: bigint }[];
};

export type ServedModel = { model: LoadedModel<ModelDescription>; price: string };

/** How long a payer waits for what is left in a channel: x402's least. */
export const WITHDRAW_DELAY_SECONDS = 900;
const DEFAULT_TIMEOUT_SECONDS = 120;
/** Rows of input that an `upto` offer covers: the model's price is per row, and the rows answered are what is settled. */
const UPTO_ROWS = 8n;

/** The paid routes; `close` claims what vouchers granted and was not claimed yet. */
export type PaymentGate = { middleware: ReturnType<typeof paymentMiddleware>; close: () => Promise<void> };

/** One priced route per model, settled after the work: an answer of status 400 or above is not charged. */
export function paymentGate(served: readonly ServedModel[], payment: NodePayment): PaymentGate {
  const facilitator = new HTTPFacilitatorClient({ url: payment.facilitatorUrl });
  const server = new x402ResourceServer(facilitator)
    .register(payment.network, new ExactEvmScheme())
    .register(payment.network, new UptoEvmScheme());
  const claims = payment.channels === undefined ? null : openClaims(payment, payment.channels, facilitator);
  if (claims !== null) server.register(payment.network, claims.scheme);
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
  return { middleware: paymentMiddleware(routes, server), close: async () => claims?.close() };
}

/** Takes vouchers, and claims and pays out what they granted, each token by itself. */
function openClaims(
  payment: NodePayment,
  { authorizerKey, claimSeconds }: NonNullable<NodePayment["channels"]>,
  facilitator: HTTPFacilitatorClient,
): { scheme: BatchSettlementEvmScheme; close(): Promise<void> } {
  const scheme = new BatchSettlementEvmScheme(payment.payTo, {
    receiverAuthorizerSigner: privateKeyToAccount(authorizerKey),
    withdrawDelay: WITHDRAW_DELAY_SECONDS,
  });
  const tokens = [payment.asset, ...(payment.also ?? []).map(({ asset }) => asset)];
  const managers = tokens.map((token) => {
    const manager = scheme.createChannelManager(facilitator, payment.network, token);
    manager.start({
      claimIntervalSecs: claimSeconds,
      settleIntervalSecs: claimSeconds,
      selectClaimChannels: (channels) =>
        channels.filter(({ channelConfig }) => sameAddress(channelConfig.token, token)),
    });
    return manager;
  });
  return {
    scheme,
    async close() {
      // A facilitator that is gone must not keep a seller from stopping; its vouchers stay claimable.
      for (const manager of managers) await manager.stop({ flush: true }).catch(() => undefined);
    },
  };
}

const sameAddress = (a: string, b: string): boolean => a.toLowerCase() === b.toLowerCase();

const SCHEMES = { eip3009: "exact", permit2: "exact", upto: "upto", voucher: "batch-settlement" } as const;

type Offers = {
  scheme: (typeof SCHEMES)[PaymentMethod];
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
      const permit2 = upto || method === "permit2";
      const amount = String(price * rate * (upto ? UPTO_ROWS : 1n));
      const extra = { ...domain, ...(permit2 ? { assetTransferMethod: "permit2" } : {}) };
      return {
        scheme: SCHEMES[method],
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
