import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ASSURANCES, LAYERS, STATUSES, type Assurance, type Layer, type Status } from "../../src/receipts/schema.ts";
import { cases } from "../support/campaign.ts";
import { decide, LEVELS, requiredLayers, type Shown } from "../../src/verify/verdict.ts";

type Statuses = Record<Layer, Status>;
type Case = {
  statuses: Statuses;
  proved: boolean;
  awaited: Layer[];
  assurance: Assurance;
  requiredLayers?: Layer[];
  reportedSuffices: boolean;
  known: boolean;
  /** The policy names measurements of the seller. */
  measured?: boolean;
};

const sellerIn = ({ known, measured = true }: Pick<Case, "known" | "measured">): Shown["seller"] =>
  known ? { measurements: measured ? [{}] : [] } : undefined;
/** A policy that knows the seller, and takes nobody's word for the chain. */
const STRICT = { awaited: [], known: true, reportedSuffices: false };

const shown = ({ statuses, proved, awaited, ...one }: Omit<Case, "assurance">): Shown => ({
  layers: Object.fromEntries(LAYERS.map((layer) => [layer, { status: statuses[layer] }])) as Shown["layers"],
  proved,
  awaited,
  seller: sellerIn(one),
});
const judged = (one: Case) => decide(shown(one), one);
const every = (status: Status): Statuses =>
  Object.fromEntries(LAYERS.map((layer) => [layer, status])) as Record<Layer, Status>;

/** The rules in words of their own: what must hold of a verdict, whatever the layers are. */
function expectRules(one: Case): void {
  const { statuses, proved, awaited, assurance, known, reportedSuffices } = one;
  const decision = judged(one);
  const required = [...requiredLayers(one, sellerIn(one)), ...awaited];
  const all = (layers: readonly Layer[], ...among: Status[]): boolean =>
    layers.every((layer) => among.includes(statuses[layer]));
  const shownEnough = (layer: Layer): boolean =>
    statuses[layer] === "pass" ||
    (reportedSuffices && ["settlement", "inclusion"].includes(layer) && statuses[layer] === "reported");
  const rank = (level: Assurance): number => ASSURANCES.indexOf(level);
  const say = (): string => JSON.stringify({ ...one, decision });

  if (decision.verdict === "verified") {
    if (!known) throw new Error(`verified without a policy for the seller: ${say()}`);
    if (!required.every(shownEnough)) throw new Error(`verified without a required pass: ${say()}`);
    if (LAYERS.some((layer) => statuses[layer] === "fail")) throw new Error(`verified beside a failure: ${say()}`);
    if (assurance === "none" || required.length === 0) throw new Error(`verified though nothing was asked: ${say()}`);
    if (rank(decision.assurance) < rank(assurance)) throw new Error(`verified below what was asked: ${say()}`);
  }
  const heeded = [...LEVELS[assurance].heeded, ...required];
  if ((decision.verdict === "failed") !== (known && heeded.some((layer) => statuses[layer] === "fail")))
    throw new Error(`failed, or not, for no reason: ${say()}`);
  if (
    decision.verdict === "pending" &&
    !(known && required.every((layer) => shownEnough(layer) || statuses[layer] === "pending"))
  )
    throw new Error(`pending though waiting cannot help: ${say()}`);

  const reaches: Record<Assurance, boolean> = {
    none: true,
    signed: all(["key", "request", "response"], "pass"),
    attested: all(["platform", "code", "key", "freshness", "request", "response"], "pass"),
    proven: all(["key", "request", "computation"], "pass") && proved,
  };
  if (!reaches[decision.assurance]) throw new Error(`assurance that is not shown: ${say()}`);
  if (ASSURANCES.some((level) => reaches[level] && rank(level) > rank(decision.assurance)))
    throw new Error(`less assurance than is shown: ${say()}`);
}

describe("the verdict", () => {
  test("keeps its rules for combinations of passed, failed and skipped layers, at every level", () => {
    const states = ["pass", "fail", "skip"] as const;
    const statuses = every("pass");
    // `.ci/run` and the campaign take every one; the stride shares no factor with their number.
    for (let at = 0; at < states.length ** LAYERS.length; at += cases(5, 1)) {
      let rest = at;
      for (const layer of LAYERS) {
        statuses[layer] = states[rest % states.length]!;
        rest = Math.floor(rest / states.length);
      }
      for (const assurance of ASSURANCES) expectRules({ statuses, ...STRICT, proved: at % 2 === 0, assurance });
    }
  });

  test("keeps its rules for any states at all, whatever a policy requires and whatever is waited for", () => {
    const layers = fc.uniqueArray(fc.constantFrom(...LAYERS));
    const status = fc.oneof({ weight: 3, arbitrary: fc.constant("pass" as const) }, fc.constantFrom(...STATUSES));
    fc.assert(
      fc.property(
        fc.record({
          statuses: fc.record(
            Object.fromEntries(LAYERS.map((layer) => [layer, status])) as Record<Layer, typeof status>,
          ),
          proved: fc.boolean(),
          awaited: layers,
          assurance: fc.constantFrom(...ASSURANCES),
          known: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, fc.constant(false)),
          measured: fc.boolean(),
          reportedSuffices: fc.boolean(),
          own: fc.option(layers, { nil: undefined }),
        }),
        ({ own, ...one }) => expectRules({ ...one, ...(own === undefined ? {} : { requiredLayers: own }) }),
      ),
      { numRuns: cases(5000, 200_000, 20_000) },
    );
  });

  test.each(ASSURANCES.filter((level) => level !== "none"))(
    "at %s is verified where everything passes, and for no required layer in any other state",
    (assurance) => {
      const one = { ...STRICT, statuses: every("pass"), proved: true, assurance };
      expect(judged(one).verdict).toBe("verified");
      for (const layer of requiredLayers(one, sellerIn(one)))
        for (const status of STATUSES.filter((other) => other !== "pass")) {
          const { verdict } = judged({ ...one, statuses: { ...every("pass"), [layer]: status } });
          expect(verdict).toBe({ fail: "failed", pending: "pending" }[status as string] ?? "unverified");
        }
    },
  );

  test("waits for what is still to come, also of the assurance, and not where a re-execution took a proof's place", () => {
    const waiting = { ...STRICT, statuses: { ...every("pass"), computation: "pending" as const }, proved: false };
    expect(judged({ ...waiting, assurance: "proven" })).toEqual({ assurance: "attested", verdict: "pending" });
    expect(judged({ ...waiting, assurance: "attested" }).verdict).toBe("verified");
    expect(judged({ ...waiting, assurance: "attested", awaited: ["computation"] }).verdict).toBe("pending");
    const replayed = { ...STRICT, statuses: every("pass"), proved: false };
    expect(judged({ ...replayed, assurance: "proven" })).toEqual({ assurance: "attested", verdict: "unverified" });
  });

  test("T101: of a proof needs no hardware, unless the policy names measurements of the seller", () => {
    const hardware = ["platform", "code", "freshness", "model"] as const;
    const statuses = { ...every("pass"), ...Object.fromEntries(hardware.map((layer) => [layer, "skip" as const])) };
    const one = { ...STRICT, statuses, proved: true, assurance: "proven" as const };
    expect(judged({ ...one, measured: false })).toEqual({ assurance: "proven", verdict: "verified" });
    expect(judged({ ...one, measured: true })).toEqual({ assurance: "proven", verdict: "unverified" });
    // A proof shows no hardware to the one that asks for it.
    expect(judged({ ...one, measured: false, assurance: "attested" }).verdict).toBe("unverified");
    const own = {
      requiredLayers: ["key", "request", "response", "payment"] as Layer[],
      assurance: "attested" as const,
    };
    for (const measured of [false, true]) expect(judged({ ...one, ...own, measured }).verdict).toBe("unverified");
    // Without the signature of a known key no one says whose answer it is.
    for (const layer of ["key", "request", "response"] as const)
      expect(judged({ ...one, measured: false, statuses: { ...statuses, [layer]: "skip" } }).verdict).toBe(
        "unverified",
      );
  });

  test("is about one layer where the policy requires one, and about nothing where it requires none", () => {
    const one = { ...STRICT, statuses: every("pass"), proved: true, assurance: "signed" as const };
    expect(judged({ ...one, requiredLayers: ["response"] }).verdict).toBe("verified");
    expect(judged({ ...one, requiredLayers: [] }).verdict).toBe("unverified");
  });

  test("of a purchase that asked for nothing is never verified, and the seller's code does not condemn it", () => {
    const paid = { ...STRICT, statuses: every("pass"), proved: true };
    expect(judged({ ...paid, assurance: "none" }).verdict).toBe("unverified");
    const unknownCode = { ...paid, statuses: { ...every("pass"), code: "fail" as const } };
    expect(judged({ ...unknownCode, assurance: "none" }).verdict).toBe("unverified");
    expect(judged({ ...unknownCode, assurance: "signed" }).verdict).toBe("failed");
  });

  test("takes a file's word about the chain only where the policy says that it suffices, and for nothing else", () => {
    const told = { ...STRICT, statuses: { ...every("pass"), settlement: "reported" as const }, proved: true };
    expect(judged({ ...told, assurance: "attested" }).verdict).toBe("unverified");
    expect(judged({ ...told, assurance: "attested", reportedSuffices: true }).verdict).toBe("verified");
    for (const layer of requiredLayers({ assurance: "proven" }, { measurements: [{}] }).filter(
      (one) => one !== "settlement",
    )) {
      const statuses = { ...every("pass"), [layer]: "reported" as const };
      expect(judged({ ...told, statuses, assurance: "proven", reportedSuffices: true }).verdict).toBe("unverified");
    }
  });

  test("asks as much of a seller whose images are pinned by one hash each as by their measurements", () => {
    const byHash = { measurements: [], pcrHashes: [`0x${"ab".repeat(32)}`] };
    const proven = { assurance: "proven" } as const;
    expect(requiredLayers(proven, byHash)).toEqual(requiredLayers(proven, { measurements: [{}] }));
    expect(requiredLayers(proven, byHash)).not.toEqual(requiredLayers(proven, { measurements: [] }));
  });

  test("of a seller that the policy does not know is unverified, whatever the layers are", () => {
    for (const status of STATUSES)
      for (const assurance of ASSURANCES)
        expect(judged({ ...STRICT, known: false, statuses: every(status), proved: true, assurance }).verdict).toBe(
          "unverified",
        );
  });
});
