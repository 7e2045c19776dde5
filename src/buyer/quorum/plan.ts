import { Proof402Error } from "../../errors.ts";
import { canServe, chooseCandidates } from "../../market/choose.ts";
import { findAsset, usdBound, type AssetPolicy } from "../../payment/policy.ts";
import type { Assurance } from "../../receipts/schema.ts";
import type { Seller } from "../../market/types.ts";
import type { BuyerContext } from "../context.ts";
import { readHolds } from "../holds.ts";
import type { BuyRequest } from "../types.ts";
import { attemptsOfQuorum, memberKey } from "./keys.ts";
import type { QuorumTerms } from "./terms.ts";

/** One seller's purchase of a quorum. `most` is its part of the call's bound in USD, undefined without a bound. */
export type Member = { sellerId: string; key: string; most: number | undefined };

/** The purchases of a quorum, and sellers that may take the place of one without money, cheapest first. */
export type Plan = { members: Member[]; spare: Member[] };

/** Millionths of a dollar: the bound is split in these. */
const PARTS = 6;

/**
 * Chooses the sellers of a quorum and their bounds before anything is paid: those paid for it before, then the cheapest
 * others, each another seller. All of them together stay within the call's bound.
 *
 * Throws Proof402Error `quorum_sellers`, `over_call_limit`, and what choosing one seller throws.
 */
export async function planQuorum(
  ctx: BuyerContext,
  {
    request,
    assurance,
    terms,
    key,
    signal,
  }: { request: BuyRequest; assurance: Assurance; terms: QuorumTerms; key: string; signal: AbortSignal | undefined },
): Promise<Plan> {
  const { assets } = ctx.config.payment;
  const { model, maxUsd } = request;
  const known = new Map<string, bigint | null>();
  for (const attempt of await attemptsOfQuorum(ctx.db, key)) {
    if (!attempt.counts) continue;
    const cost = costOf(attempt, assets);
    const before = known.get(attempt.sellerId);
    known.set(attempt.sellerId, cost === null || before === null ? null : (before ?? 0n) + cost);
  }
  const members = [...known].map(([sellerId, cost]) => ({ sellerId, cost }));
  if (members.length < terms.of) {
    const wanted = { holds: await readHolds(ctx.db), model, assurance };
    const listings = await ctx.catalog.listings({
      ...(signal === undefined ? {} : { signal }),
      model,
      enough: (known) => known.filter((one) => canServe([one], wanted)).length >= terms.of,
    });
    const listed = chooseCandidates({ ...wanted, listings, assets });
    const sellers = members.flatMap(({ sellerId }) => ctx.config.sellers.find(({ id }) => id === sellerId) ?? []);
    for (const { seller, model: offered } of listed) {
      if (known.has(seller.id) || sellers.some((one) => isSameSeller(one, seller))) continue;
      const cost = offered.price === null ? null : costOf(offered.price, assets);
      // Nothing bounds a price in what the policy does not know.
      if (maxUsd !== undefined && cost === null) continue;
      sellers.push(seller);
      members.push({ sellerId: seller.id, cost });
    }
  }
  if (members.length < terms.of) throw tooFew(terms, members.length, model, known.size > 0);
  const sum = members.slice(0, terms.of).reduce((total, { cost }) => total + (cost ?? 0n), 0n);
  const most = maxUsd === undefined ? null : usdBound(maxUsd, { usdStable: true, decimals: PARTS } as AssetPolicy);
  if (most !== null && sum > most) throw overBound(sum, maxUsd ?? 0, terms, known.size > 0);
  const toMember = ({ sellerId, cost }: (typeof members)[number]): Member => ({
    sellerId,
    key: memberKey(key, sellerId),
    most: most === null || cost === null ? undefined : Number(cost) / 10 ** PARTS,
  });
  return { members: members.slice(0, terms.of).map(toMember), spare: members.slice(terms.of).map(toMember) };
}

/** Whether two configured sellers are one for a quorum: one place, one wallet, one key, one certificate or one registry. */
function isSameSeller(one: Seller, other: Seller): boolean {
  const same = (a: unknown, b: unknown): boolean =>
    a !== undefined && b !== undefined && JSON.stringify(a) === JSON.stringify(b);
  return (
    one.id === other.id ||
    one.payTo.some((address) => other.payTo.includes(address)) ||
    same(one.origin, other.origin) ||
    same(one.signingKey, other.signingKey) ||
    same(one.certificateSha256, other.certificateSha256) ||
    same(one.registry, other.registry)
  );
}

/** An amount in millionths of a dollar, rounded up; null for a token without a dollar value. */
function costOf(
  price: { network: string; asset: string; amount: string },
  assets: readonly AssetPolicy[],
): bigint | null {
  const asset = findAsset(price, assets);
  if (asset === undefined || !asset.usdStable) return null;
  const amount = BigInt(price.amount);
  if (asset.decimals <= PARTS) return amount * 10n ** BigInt(PARTS - asset.decimals);
  const unit = 10n ** BigInt(asset.decimals - PARTS);
  return (amount + unit - 1n) / unit;
}

const dollars = (parts: bigint): string => (Number(parts) / 10 ** PARTS).toString();

const tooFew = ({ of }: QuorumTerms, found: number, model: string, paid: boolean): Proof402Error =>
  new Proof402Error(
    "quorum_sellers",
    `A quorum of ${of} needs ${of} sellers of "${model.slice(0, 128)}"; ${found} fit, counting one place, wallet or key once.`,
    {
      next: paid
        ? "What was paid for it before stays paid: call again with the same key once more sellers serve it."
        : "Nothing was paid. Add sellers, ask for less assurance, or for a smaller quorum.",
    },
  );

const overBound = (sum: bigint, maxUsd: number, { of }: QuorumTerms, paid: boolean): Proof402Error =>
  new Proof402Error(
    "over_call_limit",
    `The ${of} purchases of the quorum cost up to $${dollars(sum)} together, and the call's limit is $${maxUsd}.`,
    {
      next: `${paid ? "Nothing more" : "Nothing"} was paid. Give the call a higher limit, or ask for a smaller quorum.`,
    },
  );
