import { toHex } from "../evidence/bytes.ts";
import type { ExchangeFormat } from "../evidence/exchange/format.ts";
import { FORMATS } from "../evidence/exchange/formats.ts";
import { evidenceFor, paymentMethodOf } from "../evidence/methods/methods.ts";
import { Proof402Error } from "../errors.ts";
import type { CarrierOf } from "../market/carriers/carriers.ts";
import { addressOf } from "../market/places.ts";
import type { ListedModel, Seller } from "../market/types.ts";
import { termsOffered, type ChannelTerms } from "../payment/channel-offers.ts";
import { readAskedPayment } from "../payment/body-offers.ts";
import type { PaymentRequired } from "../payment/offers.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";

const MAX_PAYEES = 16;
const OFFER_BYTES = 65_536;

/** A seller's price for a model, base units. */
export type AskedPrice = { name: string; amount: string; asset: AssetPolicy };

type Ask = {
  seller: Seller;
  /** Headers of each request besides the format's own. */
  headers: Record<string, string>;
  models: readonly ListedModel[];
  assets: readonly AssetPolicy[];
  /** Addresses that the owner expects; any other payee is refused. */
  payTo: readonly string[] | undefined;
  tlsCertificate: string | null;
};

/** `terms` are what its offers of payment channels say beside the price. */
type Asked = {
  payees: string[];
  /** Who would name the amounts of its offers. */
  facilitators: string[];
  prices: AskedPrice[];
  terms: (ChannelTerms | null)[];
  unpriced: { name: string; reason: string }[];
};

/**
 * Asks a seller for its prices and payees, by requests with the least input and without a payment. Only offers in the configuration's tokens
 * and methods count.
 *
 * Throws Proof402Error where none counts: `asset_not_allowed`, `method_not_allowed`, `payee_not_allowed` or `no_offer`.
 */
export async function askPrices(carrierOf: CarrierOf, ask: Ask): Promise<Asked> {
  const asked = await Promise.all(
    ask.models.map(async (model) => ({ model, offers: await offersFor(carrierOf, ask, model) })),
  );
  const [prices, unpriced]: [AskedPrice[], { name: string; reason: string; code: Unfit["code"] }[]] = [[], []];
  const [payees, facilitators] = [new Set<string>(), new Set<string>()];
  for (const { model, offers } of asked) {
    const fit = "accepts" in offers ? fitting(offers.accepts, ask) : offers;
    if ("code" in fit) {
      unpriced.push({ name: model.name, ...fit });
      continue;
    }
    for (const { payee, facilitator } of fit) {
      payees.add(payee);
      if (typeof facilitator === "string") facilitators.add(facilitator);
    }
    const { amount, asset } = fit.reduce((least, one) => (worth(one) < worth(least) ? one : least));
    prices.push({ name: model.name, amount, asset });
  }
  const [first] = unpriced;
  if (prices.length === 0 && first !== undefined)
    throw new Proof402Error(first.code, `${ask.seller.origin} sells nothing to this configuration: ${first.reason}.`, {
      next: `Nothing was paid or written. ${NEXT[first.code]}`,
    });
  const most = Math.max(payees.size, facilitators.size);
  if (most > MAX_PAYEES)
    throw new Proof402Error("payee_not_allowed", `${ask.seller.origin} wants to be paid at or by ${most} addresses.`, {
      next: `A seller has at most ${MAX_PAYEES}. Nothing was paid or written.`,
    });
  const terms = asked.flatMap(({ offers }) => ("accepts" in offers ? channelOffers(offers.accepts, ask) : []));
  return {
    payees: [...payees].toSorted(),
    facilitators: [...facilitators].toSorted(),
    prices,
    terms,
    unpriced,
  };
}

const channelOffers = (accepts: PaymentRequired["accepts"], { assets }: Ask): Asked["terms"] =>
  accepts
    .filter(({ network, asset }) => findAsset({ network, asset: asset.toLowerCase() }, assets) !== undefined)
    .map(({ scheme, extra }) => termsOffered({ scheme, extra: extra ?? {} }))
    .filter((terms) => terms !== undefined);

type Fit = { amount: string; asset: AssetPolicy; payee: string; facilitator: string | null | undefined };
const worth = ({ amount, asset }: Fit): bigint => BigInt(amount) * 10n ** BigInt(36 - asset.decimals);
type Unfit = { code: keyof typeof NEXT; reason: string };

const NEXT = {
  no_offer: "Check the seller's address.",
  malformed_offer: "Choose another seller.",
  asset_not_allowed: "The owner can add its token to payment.assets of the configuration, or choose another seller.",
  method_not_allowed: "The owner can add its method to that token in payment.assets, or choose another seller.",
  payee_not_allowed: "Ask the seller which address is its own, and compare.",
} as const;

/** Gives the offers in reach of the configuration, or the reason against the best one. */
function fitting(accepts: PaymentRequired["accepts"], { assets, payTo }: Ask): [Fit, ...Fit[]] | Unfit {
  const read = accepts.map((one) => ({
    amount: one.amount,
    asset: findAsset({ network: one.network, asset: one.asset.toLowerCase() }, assets),
    method: paymentMethodOf({ scheme: one.scheme, extra: one.extra ?? {} }),
    payee: one.payTo.toLowerCase(),
    // Undefined by methods without one, null by an offer that names none.
    facilitator: evidenceFor({ scheme: one.scheme, extra: one.extra ?? {} })?.facilitatorOf?.(one.extra ?? {}),
  }));
  const inToken = read.flatMap((one) => (one.asset === undefined ? [] : [{ ...one, asset: one.asset }]));
  if (inToken.length === 0) {
    const networks = [...new Set(accepts.map(({ network }) => network))].filter((one) =>
      /^[a-z0-9:-]{1,41}$/.test(one),
    );
    const where = networks.length === 0 ? "" : ` (it asks to be paid on ${networks.slice(0, 4).join(", ")})`;
    return {
      code: "asset_not_allowed",
      reason: `none of its offers is in a token and network of payment.assets${where}`,
    };
  }
  const byMethod = inToken.filter(
    ({ asset, method, facilitator }) => method !== null && asset.methods.includes(method) && facilitator !== null,
  );
  if (byMethod.length === 0)
    return { code: "method_not_allowed", reason: "none of its offers is paid in a way that payment.assets allows" };
  const isMeant = (payee: string): boolean =>
    /^0x[0-9a-f]{40}$/.test(payee) && !/^0x0+$/.test(payee) && (payTo === undefined || payTo.includes(payee));
  const [first, ...others] = byMethod.filter(({ payee }) => isMeant(payee));
  if (first !== undefined && others.length + 1 === byMethod.length) return [first, ...others];
  return {
    code: "payee_not_allowed",
    reason: payTo === undefined ? "it names a payee that is no address" : "it names another payee than --pay-to",
  };
}

async function offersFor(
  carrierOf: CarrierOf,
  { seller, headers: around, tlsCertificate }: Ask,
  model: ListedModel,
): Promise<PaymentRequired | Unfit> {
  const format: ExchangeFormat = FORMATS[seller.provider];
  const input = model.takes?.example ?? format.exampleInput(model.inputs);
  if (input === null) return { code: "no_offer", reason: "its input is too large to ask for a price with" };
  const nonce = toHex(crypto.getRandomValues(new Uint8Array(32)));
  const { headers, body } = format.writeRequest({ takes: model.inputs, model: model.name, input, nonce });
  const answer = await carrierOf(seller.provider).send({
    method: "POST",
    url: addressOf(seller, model.name, body).url,
    headers: { ...headers, ...around },
    body,
    maxBytes: OFFER_BYTES,
    pin: seller.certificateSha256,
    ...(tlsCertificate === null ? {} : { certificateSha256: tlsCertificate }),
  });
  if (answer.status !== 402)
    return { code: "no_offer", reason: `it answered ${answer.status} instead of a payment offer` };
  const read = readAskedPayment(answer);
  return read.ok ? read.required : { code: "malformed_offer", reason: "its payment offer cannot be read" };
}
