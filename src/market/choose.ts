import { Proof402Error } from "../errors.ts";
import { findAsset, type AssetPolicy } from "../payment/policy.ts";
import { ASSURANCES, type Assurance } from "../receipts/schema.ts";
import { pinsImages } from "../verify/policy.ts";
import type { SellerListing } from "./catalog.ts";
import type { ListedModel, Seller } from "./types.ts";

/** A seller on hold: a verdict about it was `failed` (docs/architecture.md §4.10). */
export type Hold = {
  sellerId: string;
  reason: string;
  /** The receipt behind the reason; null for money without an answer. */
  receiptId: string | null;
  /** The idempotency key of an unanswered call behind the reason; null if a receipt shows it. */
  callKey: string | null;
};

export type Candidate = { seller: Seller; model: ListedModel };

const rank = (assurance: Assurance): number => ASSURANCES.indexOf(assurance);

/** Whether a seller can give evidence for an assurance. A proof needs no hardware, so one that proves may attest nothing. */
const canShow = ({ assurance, reference }: Seller, wanted: Assurance): boolean =>
  rank(assurance) >= rank(wanted) && !(wanted === "attested" && assurance === "proven" && !pinsImages(reference));

/** What a call asks of a seller. */
export type Wanted = { holds: readonly Hold[]; model: string; assurance: Assurance; seller?: string };

/** Whether one of these listings serves a call. */
export const canServe = (listings: readonly SellerListing[], wanted: Wanted): boolean =>
  listings.some(
    ({ seller, models }) =>
      isAsked(seller, wanted) &&
      canShow(seller, wanted.assurance) &&
      !wanted.holds.some(({ sellerId }) => sellerId === seller.id) &&
      models.some(({ name }) => name === wanted.model),
  );

const isAsked = ({ id }: Seller, { seller }: Wanted): boolean => seller === undefined || seller === id;

/** The cheapest of those. Throws as it does. */
export function chooseCandidate(options: Parameters<typeof chooseCandidates>[0]): Candidate {
  const [best] = chooseCandidates(options);
  if (best === undefined) throw new Error("unreachable: one is left");
  return best;
}

/**
 * The listed models that satisfy the call, cheapest first: by name, seller if one is named, assurance, and not on hold.
 * A seller without evidence is only taken when the call asks for assurance `none`. Listed prices only order the
 * choice; what is paid is the real offer, judged by the payment policy.
 *
 * Throws Proof402Error `model_not_found`, `model_unsupported`, `seller_not_found`, `seller_on_hold`, `seller_unreachable` or
 * `no_seller_for_assurance`.
 */
export function chooseCandidates(
  options: Wanted & { listings: readonly SellerListing[]; assets: readonly AssetPolicy[] },
): Candidate[] {
  const { listings, holds, model, assurance } = options;
  if (options.seller !== undefined && !listings.some((l) => l.seller.id === options.seller)) {
    throw new Proof402Error("seller_not_found", `No seller is configured as "${options.seller.slice(0, 64)}".`, {
      next: `Choose one of: ${listings.map((l) => l.seller.id).join(", ")}.`,
    });
  }
  const asked = listings.filter((l) => isAsked(l.seller, options));
  const named = asked.flatMap((l) =>
    l.models.filter((m) => m.name === model).map((m) => ({ seller: l.seller, model: m })),
  );
  if (named.length === 0) {
    const unfit = asked.flatMap((l) => l.unsupported.filter(({ name }) => name === model));
    if (unfit.length > 0) {
      throw new Proof402Error(
        "model_unsupported",
        `"${model}" cannot be bought: ${unfit.map(({ sellerId, reason }) => `${reason} (seller ${sellerId})`).join("; ")}.`,
        { next: "Choose another of the listed models, or another seller." },
      );
    }
    const down = asked.filter((l) => l.unreachable !== null);
    if (down.length > 0) {
      throw new Proof402Error(
        "seller_unreachable",
        `Could not ask ${down.map((l) => l.seller.id).join(", ")} for "${model.slice(0, 128)}".`,
        {
          next: "Try again, or list the models to see which sellers answer.",
          details: { sellers: down.map((l) => ({ id: l.seller.id, reason: l.unreachable })) },
        },
      );
    }
    throw modelNotFound(
      model,
      listings.flatMap((l) => l.models.map((m) => m.name)),
    );
  }
  const enough = named.filter((c) => canShow(c.seller, assurance));
  if (enough.length === 0) {
    throw new Proof402Error("no_seller_for_assurance", `No seller of "${model}" offers assurance "${assurance}".`, {
      next: `Ask for less assurance (offered: ${[...new Set(named.map((c) => c.seller.assurance))].join(", ")}), or add a seller.`,
    });
  }
  const held = new Map(holds.map((hold) => [hold.sellerId, hold]));
  const free = enough.filter((c) => !held.has(c.seller.id));
  if (free.length === 0) {
    const holdsHere = enough.flatMap((c) => held.get(c.seller.id) ?? []);
    throw new Proof402Error(
      "seller_on_hold",
      `On hold: ${holdsHere.map((h) => `${h.sellerId} (${holdText(h)})`).join("; ")}.`,
      {
        next: ["Choose another seller.", ...new Set(holdsHere.map(wayOut))].join(" "),
        details: {
          receipts: holdsHere.flatMap(({ receiptId }) => receiptId ?? []),
          calls: holdsHere.flatMap(({ callKey }) => callKey ?? []),
        },
      },
    );
  }
  // Sellers that give the evidence asked for come in order of price; a free-of-evidence call takes the cheapest of all.
  return free.toSorted((a, b) => comparePrice(a.model, b.model, options.assets));
}

/** The error for a model on no seller's list. It names the listed models. */
export function modelNotFound(model: string, listed: readonly string[]): Proof402Error {
  const names = [...new Set(listed)];
  return new Proof402Error("model_not_found", `No seller lists a model "${model.slice(0, 128)}".`, {
    next:
      names.length === 0 ? "List the models that are on offer." : `Choose one of: ${names.slice(0, 20).join(", ")}.`,
  });
}

/** Says why a seller is on hold, with what shows it: a receipt, or the key of a call. */
export function holdText({ reason, receiptId, callKey }: Omit<Hold, "sellerId">): string {
  if (receiptId !== null) return `${reason}; receipt ${receiptId}`;
  return callKey === null ? reason : `${reason}; call ${callKey}`;
}

function wayOut({ receiptId, callKey }: Hold): string {
  if (receiptId !== null) return "Its owner can read the receipt and release the seller.";
  return callKey === null
    ? "The hold ends when the payments end unused, or when the owner releases the seller."
    : "Calling again with that key asks for the answer that is owed and pays nothing twice: the answer ends the hold.";
}

function comparePrice(a: ListedModel, b: ListedModel, assets: readonly AssetPolicy[]): number {
  const left = usdMicros(a, assets);
  const right = usdMicros(b, assets);
  if (left === right) return 0;
  if (left === null) return 1;
  if (right === null) return -1;
  return left < right ? -1 : 1;
}

/** A listed price in 10^-18 USD, or null where the asset is not declared stable by the policy. */
function usdMicros(model: ListedModel, assets: readonly AssetPolicy[]): bigint | null {
  const asset = findAsset(model.price, assets);
  if (model.price === null || asset === undefined || !asset.usdStable || asset.decimals > 18) return null;
  return BigInt(model.price.amount) * 10n ** BigInt(18 - asset.decimals);
}
