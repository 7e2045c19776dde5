import { formatOf } from "../../evidence/exchange/formats.ts";
import { evidenceOf } from "../../evidence/methods/methods.ts";
import type { LayerResult, ReceiptCore } from "../../receipts/schema.ts";
import { onlyOne, onlySignature } from "../find-evidence.ts";
import { sellerOf, type AppraisalPolicy, type SellerPolicy } from "../policy.ts";
import { fail, skip } from "../types.ts";

/**
 * Whether the purchase went where the policy says this seller is, to the kind of seller that it is. Null where it did; a
 * `fail` where it went elsewhere, and a `skip` where the policy does not say.
 */
export function judgePlace(core: ReceiptCore, policy: AppraisalPolicy): LayerResult | null {
  const { seller, request } = core;
  const known = sellerOf(policy, seller.id);
  if (known === undefined) return skip("no_policy", "The policy does not know this seller.");
  const before = formerlyOf(known, core);
  const registered = known.registry === undefined ? null : judgeRegistered(core);
  if (registered !== null) return registered;
  if (known.origin !== undefined && ![known, ...before].some(({ origin }) => origin === seller.origin))
    return fail("origin_mismatch", "The request went to another address than the policy names for this seller.");
  if (known.provider !== undefined && known.provider !== seller.provider)
    return fail("provider_mismatch", "The seller is of another kind than the policy names.");
  const address = formatOf(seller.provider)?.at;
  if (address !== undefined && request.path !== (known.path ?? address))
    return fail("path_mismatch", "The request went to another path than the policy names for this seller.");
  return (known.origin === undefined && known.registry === undefined) || known.provider === undefined
    ? skip("seller_not_pinned", "The policy does not say where this seller is, or of which kind.")
    : null;
}

/** Compares the place of a purchase with the registry entry in its receipt. The signing key's layer judges the entry itself. */
function judgeRegistered({ seller, evidence }: ReceiptCore): LayerResult | null {
  const entry = onlyOne(evidence, "registry.tee");
  if (entry.kind !== "one")
    return skip(
      "seller_not_pinned",
      "The policy names a registry for this seller's place, and there is no entry of it.",
    );
  return entry.evidence.origin === seller.origin
    ? null
    : fail("origin_mismatch", "The request went to another address than the seller's registry entry names.");
}

/**
 * Judges the payment's terms by the policy: payee, token with its units and domain, and any third party with a say.
 * Null where they are; a `fail` for a difference, and a `skip` for what the policy does not say.
 */
export function judgeTerms(core: ReceiptCore, policy: AppraisalPolicy): LayerResult | null {
  const { seller, offer, payment } = core;
  const known = sellerOf(policy, seller.id);
  if (known === undefined) return skip("no_policy", "The policy does not know this seller.");
  const before = formerlyOf(known, core);
  if (known.payees.length > 0 && ![known, ...before].some(({ payees = [] }) => payees.includes(payment.payTo)))
    return fail("payee_mismatch", "The money goes to another address than the policy names for this seller.");
  const asset = policy.assets.find((one) => one.network === payment.network && one.asset === payment.asset);
  if (policy.assets.length > 0 && asset === undefined)
    return fail("asset_mismatch", "The payment is in another token than the policy accepts.");
  if (asset !== undefined && asset.decimals !== offer.decimals)
    return fail("decimals_mismatch", "The receipt counts the token in other units than the policy.");
  const method = evidenceOf(payment);
  // What an offer says of the token's domain changes nothing for methods that are signed in the domain of a contract of their own.
  if (asset !== undefined && method.inTokenDomain) {
    const { name, version } = offer.extra;
    if (name !== asset.domain.name || version !== asset.domain.version)
      return fail("domain_mismatch", "The authorization is of another token domain than the policy names.");
  }
  const others = method.unpinnedIn(payment, known);
  if (others !== null) return others;
  if (known.payees.length === 0)
    return skip("payee_not_pinned", "The policy does not say where this seller may be paid.");
  return asset === undefined
    ? skip("asset_not_pinned", "The policy does not say which tokens may be paid with.")
    : null;
}

/**
 * The policy's former entry for the seller, if it held at this purchase: by the time signed by its key, or by the
 * buyer's clock without a signature. A time that no key signed fails or is skipped elsewhere where a signature counts.
 */
function formerlyOf(
  { former = [] }: SellerPolicy,
  { seller, payment, evidence, response }: ReceiptCore,
): NonNullable<SellerPolicy["former"]> {
  const signature = onlySignature(evidence);
  const at =
    signature.kind === "one" && "timestamp" in signature.evidence
      ? signature.evidence.timestamp * 1000
      : Date.parse(response.receivedAt);
  // One that names both counts as a whole: the address of one time was never paid at the payee of another.
  const isWhole = ({ origin = seller.origin, payees = [payment.payTo] }: (typeof former)[number]): boolean =>
    origin === seller.origin && payees.includes(payment.payTo);
  return former.filter((one) => at <= Date.parse(one.until) && isWhole(one));
}
