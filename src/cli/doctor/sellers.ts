import { moneyText } from "../../chain/money-text.ts";
import { readHolds } from "../../buyer/holds.ts";
import { Proof402Error } from "../../errors.ts";
import { holdText } from "../../market/choose.ts";
import type { Seller } from "../../market/types.ts";
import { ASSURANCES } from "../../receipts/schema.ts";
import { failure, problem, warning, well, type Check, type Found } from "./check.ts";
import { PATIENCE_SECONDS } from "./patience.ts";
import { capText, offersOf, type ListedOffer } from "./offers.ts";
import type { Surroundings } from "./surroundings.ts";

/** A fact about a seller; one with `next` stands in the way of buying from it. */
type Fact = { says: string; next?: string };

/** Each seller: it answers, attests, lists prices within the caps, and is on no hold. */
export const sellers: Check = {
  name: "seller",
  look: (around) => Promise.all(around.config.sellers.map((seller) => lookAt(around, seller))),
};

/** Whether anything can be bought now by a call that names no seller and no assurance. */
export const market: Check = {
  name: "market",
  async look(around) {
    const { sellers: configured, verification } = around.config;
    const ready = await Promise.all(
      configured.map(async (seller) => (await serves(around, seller)) && !lessThan(seller, verification.assurance)),
    );
    const names = configured.filter((_one, at) => ready[at] === true).map(({ id }) => id);
    const asked = `with assurance ${verification.assurance}`;
    if (names.length > 0)
      return [
        well(
          "",
          `Calls ${asked} can be served by ${names.length} of ${configured.length} sellers: ${names.join(", ")}.`,
        ),
      ];
    return [
      configured.length === 0
        ? problem("", "No seller is configured.", "Add one to sellers in the configuration (docs/configuration.md).")
        : problem(
            "",
            `None of ${configured.length} sellers can serve calls ${asked} now.`,
            "Do as the sellers' lines say, or ask for less with --assurance.",
          ),
    ];
  },
};

const lessThan = ({ assurance }: Seller, wanted: (typeof ASSURANCES)[number]): boolean =>
  ASSURANCES.indexOf(assurance) < ASSURANCES.indexOf(wanted);

const serves = async (around: Surroundings, seller: Seller): Promise<boolean> =>
  (await factsOf(around, seller)).every(({ next }) => next === undefined);

async function lookAt(around: Surroundings, seller: Seller): Promise<Found> {
  const facts = await factsOf(around, seller);
  const says = facts.map((fact) => fact.says).join(" ");
  const next = facts.flatMap((fact) => fact.next ?? []).join(" ");
  return next === "" ? well(seller.id, says) : warning(seller.id, says, next);
}

async function factsOf(around: Surroundings, seller: Seller): Promise<Fact[]> {
  const told = await around.listed(seller);
  const held = await holdOf(around, seller);
  if ("error" in told) {
    const { says, next = "" } = told.timedOut
      ? { says: `${seller.origin} gave no answer in ${PATIENCE_SECONDS} s.` }
      : failure("", told.error);
    return [{ says, next: next === "" ? "Try again later, or buy from another seller." : next }, ...held];
  }
  const answers = { says: `Answers in ${told.latencyMs} ms.` };
  return [answers, await evidenceOf(around, seller), ...(await pricesOf(around, seller)), ...held];
}

async function evidenceOf(around: Surroundings, seller: Seller): Promise<Fact> {
  if (seller.assurance === "none")
    return { says: "Configured as giving no evidence: for calls with --assurance none alone." };
  const shown = await around.attestation(seller);
  if (shown.state === "good") {
    const how = shown.simulated ? " by simulated hardware" : "";
    return { says: seller.assurance === "signed" ? "Its evidence suffices for signed." : `Attested${how}.` };
  }
  if (shown.state === "unjudged") return { says: "Serves an attestation: a purchase judges it." };
  if (shown.state === "absent") {
    return seller.assurance === "signed"
      ? { says: "Serves no attestation; its key is pinned." }
      : {
          says: "NOT attested: it serves no attestation.",
          next: `Check the origin of ${seller.id} in sellers of the configuration.`,
        };
  }
  const { error } = shown;
  const why = Proof402Error.isInstance(error)
    ? error.message
    : error instanceof Error && error.message !== ""
      ? error.message
      : "it gave no usable evidence";
  return {
    says: `NOT attested: ${why.replace(/\.$/, "")}.`,
    next: Proof402Error.isInstance(error)
      ? error.next
      : `Compare the reference values of ${seller.id} in the configuration with what it publishes.`,
  };
}

async function pricesOf(around: Surroundings, seller: Seller): Promise<Fact[]> {
  const told = await around.listed(seller);
  if ("listing" in told && told.listing === null) return [{ says: "Keeps no list: a purchase shows its price." }];
  const all = await offersOf(around, seller);
  const offers = all.filter(({ model }) => model.price !== null);
  const within = offers.filter(({ asset, over }) => asset !== null && over === null);
  // Asked, a seller may well want less than the prices that it lists.
  if (within.length === 0 && all.length > offers.length)
    return [
      { says: `${offers.length === 0 ? "Lists no prices" : "Lists some prices only"}: a purchase shows its price.` },
    ];
  if (offers.length === 0) return [{ says: "Lists no models.", next: "Buy from another seller." }];
  if (within.length > 0) {
    const left = offers.length - within.length;
    const out = left === 0 ? "" : ` ${left} more cannot be paid under the policy.`;
    return [{ says: `Models within the caps: ${within.map(priceText).join(", ")}.${out}` }];
  }
  const broken = offers.flatMap(({ asset, over }) => (asset === null || over === null ? [] : [capText(over, asset)]));
  return broken[0] === undefined
    ? [
        {
          says: "None of its prices is in a token of the policy.",
          next: "Add its token to payment.assets in the configuration, or buy from another seller.",
        },
      ]
    : [
        {
          says: `No price is within the caps: ${broken[0]}.`,
          next: "Raise that cap in the configuration, wait until it frees, or buy from another seller.",
        },
      ];
}

const priceText = ({ model, asset }: ListedOffer): string =>
  `${model.name} ${asset === null || model.price === null ? "" : moneyText(model.price.amount, asset)}`;

async function holdOf(around: Surroundings, { id }: Seller): Promise<Fact[]> {
  const db = await around.records();
  const hold = db === null ? undefined : (await readHolds(db)).find(({ sellerId }) => sellerId === id);
  return hold === undefined
    ? []
    : [
        {
          says: `ON HOLD: ${holdText(hold)}.`,
          next: `If you trust it again, run proof402 sellers release ${id}.`,
        },
      ];
}
