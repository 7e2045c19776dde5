import { decodePaymentRequiredHeader, decodePaymentSignatureHeader } from "@x402/core/http";
import { isPaymentPayloadV2 } from "@x402/core/schemas";
import {
  HTTPFacilitatorClient,
  x402HTTPResourceServer,
  x402ResourceServer,
  type HTTPRequestContext,
  type HTTPResponseInstructions,
} from "@x402/core/server";
import { SettleError, type PaymentRequired, type PaymentRequirements, type SettleResponse } from "@x402/core/types";
import { ExactEvmScheme } from "@x402/evm/exact/server";
import { UptoEvmScheme } from "@x402/evm/upto/server";
import { HonoAdapter } from "@x402/hono";
import type { Context } from "hono";
import { evidenceFor, METHODS } from "../evidence/methods/methods.ts";
import type { LoadedModel } from "../onnx/inference.ts";
import type { ChainReader } from "./chain-view.ts";
import { openClaims } from "./claims.ts";
import type { ModelDescription } from "./models.ts";
import type { NodePayment, Payment } from "./payment.ts";
import type { VoucherChannels } from "./voucher-channels.ts";

/** A model, what a call of it costs, and for how many rows. */
export type ServedModel = { model: LoadedModel<ModelDescription>; price: string; rows: number };

export type Verification =
  /** `cancel` gives back what was set aside for it, where no answer comes of it. */
  | { kind: "valid"; payment: Payment; cancel: (status: number) => Promise<unknown> }
  /** `payment` is the payment received, if it claims to meet the offer. */
  | { kind: "refused"; response: Response; payment: Payment | null };

/** What the facilitator says of a settlement. */
export type SettlementWord = {
  /** `pending`: an answer that does not decide; it may become settled. `lost`: no answer; it may be settled. */
  state: "settled" | "refused" | "pending" | "lost";
  result: SettleResponse;
};

const DEFAULT_TIMEOUT_SECONDS = 120;
const FACILITATOR_TIMEOUT_MS = 30_000;

/** How long a facilitator's answer is waited for. */
export const facilitatorTimeoutMs = (waitSeconds: number): number =>
  Math.max(FACILITATOR_TIMEOUT_MS, waitSeconds * 1000);

/** The paywall; `close` claims what vouchers granted and was not claimed yet. */
export type PaymentGate = {
  /** Reads the payment in a request's header, unverified; null if there is none or it is unreadable. */
  read(header: string | undefined): Payment | null;
  /** Has the facilitator judge the payment of a request for a model, or asks for one. Throws where it cannot be asked. */
  verify(c: Context, model: string): Promise<Verification>;
  /** Whether a voucher was settled here before: its channel was charged up to its sum. */
  isGranted(payment: Payment): Promise<boolean>;
  /** Has a payment settled, an `upto` one at so much, base units. Never throws. */
  settle(c: Context, payment: Payment, amount: string): Promise<SettlementWord>;
  close(): Promise<void>;
};

/** Builds one priced route per model. `channels` keeps the vouchers that were taken; `chain` shows what was claimed of them. */
export function paymentGate(
  served: readonly ServedModel[],
  payment: NodePayment,
  books: { channels: VoucherChannels; chain: ChainReader },
): PaymentGate {
  const { facilitatorUrl: url, facilitatorToken, waitSeconds = 0 } = payment;
  const authorize = (method: "GET" | "POST", path: string): Record<string, string> => {
    const request = { method, url: `${url.replace(/\/+$/, "")}/${path}` };
    const token = typeof facilitatorToken === "function" ? facilitatorToken(request) : facilitatorToken;
    return { authorization: `Bearer ${token}` };
  };
  const facilitator = new HTTPFacilitatorClient({
    url,
    ...(facilitatorToken === undefined
      ? {}
      : {
          createAuthHeaders: () =>
            Promise.resolve({
              verify: authorize("POST", "verify"),
              settle: authorize("POST", "settle"),
              supported: authorize("GET", "supported"),
            }),
        }),
    timeoutMs: facilitatorTimeoutMs(waitSeconds),
  });
  const server = new x402ResourceServer(facilitator)
    .register(payment.network, new ExactEvmScheme())
    .register(payment.network, new UptoEvmScheme());
  const claims =
    payment.channels === undefined ? null : openClaims(payment, payment.channels, { facilitator, ...books });
  if (claims !== null) server.register(payment.network, claims.scheme).onAfterVerify(claims.refuseUnpaid);
  const paywall = new x402HTTPResourceServer(
    server,
    Object.fromEntries(
      served.map(({ model, price }) => [
        `POST ${pathOf(model.name)}`,
        {
          accepts: offersOf(payment, BigInt(price)),
          description: `One inference of ${model.name}`,
          mimeType: "application/json",
        },
      ]),
    ),
  );
  let asked: Promise<void> | null = null;
  const initialize = (): Promise<void> =>
    (asked ??= paywall.initialize().catch((error: unknown) => {
      asked = null;
      throw error;
    }));
  // The first buyer waits less; a facilitator that is not there yet is asked again then.
  initialize().catch(() => undefined);

  return {
    read: readPayment,
    async verify(c, model) {
      await initialize();
      const result = await paywall.processHTTPRequest(contextOf(c, model));
      if (result.type === "no-payment-required") throw new Error(`model ${model} has no price`);
      if (result.type === "payment-verified") {
        const { paymentPayload: payload, paymentRequirements: terms, cancellationDispatcher } = result;
        const cancel = (responseStatus: number): Promise<unknown> =>
          cancellationDispatcher.cancel({ reason: "handler_failed", responseStatus });
        return { kind: "valid", payment: { payload, terms }, cancel };
      }
      const required = result.response.headers["PAYMENT-REQUIRED"];
      const offered = required === undefined ? null : decodePaymentRequiredHeader(required);
      const came = readPayment(paymentHeader(c));
      const terms = came === null ? undefined : server.findMatchingRequirements(offered?.accepts ?? [], came.payload);
      return {
        kind: "refused",
        response: refusal(result.response, offered),
        payment: came === null || terms === undefined ? null : { payload: came.payload, terms },
      };
    },
    isGranted: async (one) => ((await claims?.granted(one)) ?? null) !== null,
    async settle(c, { payload, terms }, amount) {
      const overrides = evidenceFor(terms)?.metered === true ? { amount } : undefined;
      try {
        const granted = await claims?.granted({ payload, terms });
        if (granted != null) return { state: "settled", result: granted };
        await initialize();
        const request = contextOf(c, "");
        return wordOf(await server.settlePayment(payload, terms, undefined, { request }, overrides));
      } catch (error) {
        const { network } = terms;
        if (!(error instanceof SettleError)) return lostWord(network);
        const { errorReason = "settlement_failed", transaction } = error;
        return wordOf({ success: false, errorReason, transaction, network });
      }
    },
    close: async () => claims?.close(),
  };
}

const paymentHeader = (c: Context): string | undefined => c.req.header("payment-signature");

function readPayment(header: string | undefined): Payment | null {
  if (header === undefined) return null;
  try {
    const payload = decodePaymentSignatureHeader(header);
    return isPaymentPayloadV2(payload) ? { payload, terms: payload.accepted } : null;
  } catch {
    return null;
  }
}

/** A refusal that names a transaction may come true: it was sent. */
function wordOf(result: SettleResponse): SettlementWord {
  if (result.success) return { state: "settled", result };
  const open = result.errorReason === "settlement_pending" || /^0x[0-9a-fA-F]{64}$/.test(result.transaction);
  return { state: open ? "pending" : "refused", result };
}

const lostWord = (network: SettleResponse["network"]): SettlementWord => ({
  state: "lost",
  result: { success: false, errorReason: "settlement_pending", transaction: "", network },
});

/** The paywall's own name of a model's route: none of the addresses that a model answers at. */
const pathOf = (model: string): string => `/models/${model}`;

/** A request as the paywall sees it: at its model's route, however its address was written. */
function contextOf(c: Context, model: string): HTTPRequestContext {
  const payment = paymentHeader(c);
  const context = { adapter: new HonoAdapter(c), path: pathOf(model), method: c.req.method };
  return payment === undefined ? context : { ...context, paymentHeader: payment };
}

/** A paywall's answer. Its body says what the header does, for people and for clients of x402 v1. */
function refusal(
  { status, headers, body, isHtml }: HTTPResponseInstructions,
  offered: PaymentRequired | null,
): Response {
  if (isHtml === true) return new Response(String(body), { status, headers });
  return Response.json(offered ?? body ?? {}, { status, headers });
}

type Offers = {
  scheme: string;
  network: NodePayment["network"];
  payTo: string;
  maxTimeoutSeconds: number;
  price: { asset: string; amount: string; extra: Record<string, unknown> };
}[];

/** Every way to pay asks the listed price. Under `upto` it is the most a call may cost. */
function offersOf(payment: NodePayment, price: bigint): Offers {
  const { network, payTo, maxTimeoutSeconds = DEFAULT_TIMEOUT_SECONDS, methods = ["eip3009"], also = [] } = payment;
  const tokens = [{ asset: payment.asset, domain: payment.domain, rate: 1n }, ...also];
  return tokens.flatMap(({ asset, domain, rate }) =>
    methods.map((method) => {
      const { scheme, usedByCall } = METHODS[method];
      const amount = String(price * rate);
      // Where both are offered each is named: an offer that names none would fit payments by either.
      const transfer = usedByCall
        ? "permit2"
        : method === "eip3009" && methods.includes("permit2")
          ? "eip3009"
          : undefined;
      const extra = { ...domain, ...(transfer === undefined ? {} : { assetTransferMethod: transfer }) };
      return {
        scheme,
        network,
        payTo,
        maxTimeoutSeconds,
        price: { asset, amount, extra },
      };
    }),
  );
}

/** What a call of so many rows is settled at under its terms, base units: all of it, but under `upto` only the rows' part. */
export function dueFor(terms: PaymentRequirements, rows: number, covered: number): string {
  if (evidenceFor(terms)?.metered !== true) return terms.amount;
  const whole = BigInt(covered);
  // Rounded up: a row of a price below its number of rows is not given away.
  return String((BigInt(terms.amount) * BigInt(rows) + whole - 1n) / whole);
}
