import { formatOf } from "../evidence/exchange/formats.ts";
import { ASSURANCES, LAYERS, type Assurance, type Layer, type LayerResult, type Verdict } from "../receipts/schema.ts";
import { pinsImages, type AppraisalPolicy, type SellerPolicy } from "./policy.ts";

/** What a level of assurance takes. */
type Level = {
  /** The layers whose passes reach it. */
  reachedBy: readonly Layer[];
  /** The layers that must pass where it is asked for, unless the policy names others. */
  required: readonly Layer[];
  /**
   * The layers whose failure condemns a receipt under each requested assurance, required or not: contradicting evidence
   * is never ignored.
   */
  heeded: readonly Layer[];
};

const ATTESTED = ["platform", "code", "key", "freshness", "request", "response"] as const satisfies readonly Layer[];
const PAID = ["payment", "settlement"] as const satisfies readonly Layer[];

/**
 * The one table that decides (docs/architecture.md §2). Where nothing was asked for, the layers about the seller's
 * code are left alone.
 */
export const LEVELS: Readonly<Record<Assurance, Level>> = {
  none: {
    reachedBy: [],
    required: PAID,
    heeded: ["platform", "key", "request", "response", "computation", "payment"],
  },
  signed: {
    reachedBy: ["key", "request", "response"],
    required: ["key", "request", "response", ...PAID],
    heeded: LAYERS,
  },
  attested: { reachedBy: ATTESTED, required: [...ATTESTED, "model", ...PAID], heeded: LAYERS },
  proven: {
    reachedBy: ["key", "request", "computation"],
    required: ["key", "request", "response", "computation", ...PAID],
    heeded: LAYERS,
  },
};

/** A seller's reference values for its hardware, and its kind. */
type Measured = Pick<SellerPolicy, "measurements" | "pcrHashes" | "provider">;

/**
 * The layers that must pass under a policy. A proof needs no hardware, but measurements that the policy names of the seller
 * are required beside it. Of a kind of sellers that pass requests on, no layer shows the model, and none is asked for it.
 *
 * @example
 * ```ts
 * import { requiredLayers } from "proof402/verify";
 *
 * const layers = requiredLayers({ assurance: "attested" });
 * ```
 */
export function requiredLayers(
  policy: Pick<AppraisalPolicy, "assurance" | "requiredLayers">,
  seller?: Measured,
): readonly Layer[] {
  if (policy.requiredLayers !== undefined) return policy.requiredLayers;
  const { required } = LEVELS[policy.assurance];
  const all =
    policy.assurance === "proven" && seller !== undefined && pinsImages(seller)
      ? [...new Set([...LEVELS.attested.required, ...required])]
      : required;
  const forwards = seller?.provider !== undefined && formatOf(seller.provider)?.forwards === true;
  return forwards ? all.filter((layer) => layer !== "model") : all;
}

/** What a file can tell of a chain. No other layer's report could ever suffice. */
export const ON_CHAIN: readonly Layer[] = ["settlement", "inclusion"];

/** What the evidence shows, as far as a verdict needs it. */
export type Shown = {
  layers: Readonly<Record<Layer, Pick<LayerResult, "status">>>;
  /** Whether `computation` passed by a proof. A re-execution passes it, too, but convinces only who ran it. */
  proved: boolean;
  /** Layers that the verdict waits for, required or not. */
  awaited: readonly Layer[];
  /** What the policy knows of the seller; undefined if it does not know it at all. */
  seller: Measured | undefined;
};

type Bounds = Pick<AppraisalPolicy, "assurance" | "requiredLayers" | "reportedSuffices">;

/**
 * The verdict of the layers under a policy, and the most assurance that they show. Missing evidence is never a pass, and
 * nothing but the statuses counts. A purchase without evidence can be paid and settled, but there is nothing to verify;
 * of a seller that the policy does not know there is nothing to compare with.
 */
export function decide(
  { layers, proved, awaited, seller }: Shown,
  policy: Bounds,
): { assurance: Assurance; verdict: Verdict } {
  const required = [...requiredLayers(policy, seller), ...awaited];
  const passes = (layer: Layer): boolean => layers[layer].status === "pass";
  const suffices = (layer: Layer): boolean =>
    passes(layer) || (policy.reportedSuffices && ON_CHAIN.includes(layer) && layers[layer].status === "reported");
  const maySuffice = (layer: Layer): boolean => suffices(layer) || layers[layer].status === "pending";
  const isProved = (layer: Layer): boolean => layer !== "computation" || proved || !passes(layer);
  const reaches = (level: Assurance, counts: (layer: Layer) => boolean): boolean =>
    LEVELS[level].reachedBy.every((layer) => counts(layer) && isProved(layer));
  // A higher level stands in for none: a proof beside a bare key shows no hardware.
  const enough = (counts: (layer: Layer) => boolean): boolean =>
    required.every(counts) && reaches(policy.assurance, counts);

  const assurance = ASSURANCES.findLast((level) => reaches(level, passes)) ?? "none";
  const contradicted = [...required, ...LEVELS[policy.assurance].heeded].some(
    (layer) => layers[layer].status === "fail",
  );
  if (seller === undefined) return { assurance, verdict: "unverified" };
  if (contradicted) return { assurance, verdict: "failed" };
  if (policy.assurance === "none" || required.length === 0) return { assurance, verdict: "unverified" };
  if (enough(suffices)) return { assurance, verdict: "verified" };
  return { assurance, verdict: enough(maySuffice) ? "pending" : "unverified" };
}
