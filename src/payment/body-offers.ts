import { jsonOf } from "../evidence/bytes.ts";
import { isAmbiguousJson } from "../evidence/json-text.ts";
import { readOffers, readPaymentRequired } from "./offers.ts";
import type { PaymentForm } from "./types.ts";
import { isRecord } from "../evidence/record.ts";

type Read = ReturnType<typeof readPaymentRequired>;

/** Longest 402 body that is read for offers, bytes. */
const MAX_BODY_BYTES = 65_536;

/** The names that x402 v1 has for EVM networks, by their CAIP-2 form. Source: x402 specs, v1 network identifiers. */
const V1_NETWORKS: Readonly<Record<string, string>> = {
  base: "eip155:8453",
  "base-sepolia": "eip155:84532",
  polygon: "eip155:137",
  "polygon-amoy": "eip155:80002",
  avalanche: "eip155:43114",
  "avalanche-fuji": "eip155:43113",
  sei: "eip155:1329",
  "sei-testnet": "eip155:1328",
  iotex: "eip155:4689",
  peaq: "eip155:3338",
  abstract: "eip155:2741",
};

/**
 * The offers of a 402: those of its `PAYMENT-REQUIRED` header, and without one those of its body. A header hides the body, so a
 * seller that says two things is taken at its header's word. Both are judged alike by the payment policy. Never throws.
 */
export function readAskedPayment({ form, ...asked }: Asked & { form?: PaymentForm | undefined }): Read {
  const read = readBoth(asked);
  if (!read.ok || form === undefined) return read;
  const { required } = read;
  return { ok: true, required: { ...required, echo: { ...required.echo, form } } };
}

type Asked = { headers: Readonly<Record<string, string>>; body: Uint8Array };

function readBoth({ headers, body }: Asked): Read {
  if (headers["payment-required"] !== undefined) return readPaymentRequired(headers);
  if (body.length === 0 || body.length > MAX_BODY_BYTES || isAmbiguousJson(body)) return readPaymentRequired(headers);
  const value = jsonOf(body);
  if (!isRecord(value)) return readPaymentRequired(headers);
  if (value["x402Version"] === 2) return readOffers(value);
  if (value["x402Version"] !== 1 || !Array.isArray(value["accepts"])) return readPaymentRequired(headers);
  // Each is read for itself there. What the first version repeats in each, the second says once and has to be sent back.
  return readOffers({ x402Version: 2, accepts: value["accepts"].map(ofVersion1) });
}

/**
 * An offer of x402 v1 in the form of v2 (x402-specification-v1.md §5.1). Keeps the seller's own name for the network, since
 * its payment repeats it. Anything else is left as it is, and then refused for what it lacks.
 */
function ofVersion1(offer: unknown): unknown {
  if (!isRecord(offer) || offer["scheme"] !== "exact" || typeof offer["network"] !== "string") return offer;
  const { scheme, network, maxAmountRequired: amount, asset, payTo, maxTimeoutSeconds, extra } = offer;
  const chain = Object.hasOwn(V1_NETWORKS, network) ? V1_NETWORKS[network] : network;
  return { scheme, network: chain, amount, asset, payTo, maxTimeoutSeconds, extra, [NETWORK_OF_V1]: network };
}

/** The field of an accepted offer that marks it as one of x402 v1. */
const NETWORK_OF_V1 = "networkOfV1";

/** The seller's name for the network of an offer of x402 v1; null for one of v2. */
export const networkOfV1 = (accepted: Readonly<Record<string, unknown>>): string | null => {
  const network = accepted[NETWORK_OF_V1];
  return typeof network === "string" ? network : null;
};
