import { beforeAll, describe, expect, test } from "vitest";
import {
  DISPUTABLE,
  KNOWN_KINDS,
  type Appraisal,
  type Disputable,
  type Evidence,
  type Layer,
  type Receipt,
} from "../../src/receipts/schema.ts";
import { redactReceipt } from "../../src/receipts/receipt.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { BATCH_CONTRADICTIONS, describeContradiction } from "../../src/verify/contradiction-codes.ts";
import { ambiguitiesOf, failuresOfMaker, inOrder, withContradictions } from "../../src/verify/contradictions.ts";
import { isOfChain, isOwnAmong, onlyOne } from "../../src/verify/find-evidence.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import type { AppraiseInput, Outstanding, Rivals } from "../../src/verify/types.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { appraisal as someAppraisal } from "../support/receipt-core.ts";

let fixture: Fixture;
let upto: Fixture;
beforeAll(async () => {
  [fixture, upto] = await Promise.all([makeFixture(), makeFixture({ method: "upto", signed: true })]);
});

const session = createVerificationCache();
type Changes = Partial<Omit<AppraiseInput, "policy">> & { policy?: Partial<AppraisalPolicy> };
const judge = ({ policy, ...changes }: Changes = {}): Promise<Appraisal> =>
  appraise(
    {
      receipt: fixture.receipt,
      now: fixture.evaluateAt,
      evaluateAt: fixture.evaluateAt,
      ...changes,
      policy: { ...fixture.policy, ...policy },
    },
    session,
  );
const brief = ({ verdict, layers }: Appraisal, layer: Layer): string =>
  `${verdict}: ${layers[layer].status} ${layers[layer].code}`;
const withLater = (...evidence: Evidence[]): Receipt => ({
  ...fixture.receipt,
  later: [
    ...fixture.receipt.later,
    ...evidence.map((one) => ({ at: fixture.receipt.core.response.receivedAt, evidence: one })),
  ],
});
const replay = (value: number): Evidence => ({
  kind: "replay.onnx",
  modelSha256: "5a".repeat(32),
  runtime: { name: "onnxruntime", version: "1" },
  outputs: [{ name: "class", datatype: "INT64", shape: [1], data: [value] }],
});
const waiting = (layer: Layer, changes: Partial<Outstanding> = {}): Outstanding => ({
  layer,
  status: "pending",
  code: "awaiting_replay",
  note: "It is awaited.",
  holdsVerdict: false,
  ...changes,
});

describe("an appraisal", () => {
  test("bears its times, its policy and who made it", async () => {
    const now = new Date(fixture.evaluateAt.getTime() + 5000);
    const judged = await judge({ now });
    expect(judged).toMatchObject({
      at: now.toISOString(),
      evaluatedAt: fixture.evaluateAt.toISOString(),
      wanted: "attested",
      assurance: "attested",
      simulated: true,
      replayed: false,
      verdict: "verified",
    });
    for (const invalid of [{ now: new Date(Number.NaN) }, { evaluateAt: new Date(Number.NaN) }])
      await expect(judge(invalid)).rejects.toThrow(RangeError);
  });

  test("says what limits it", async () => {
    const said = (await judge()).notProven.join("\n");
    for (const words of ["Simulated", "its signature is not in the file", "That the connection ended in the enclave."])
      expect(said).toContain(words);
    // Nothing attested says where a connection ends.
    const unattested = { ...fixture.receipt, core: { ...fixture.receipt.core, evidence: [] } };
    expect((await judge({ receipt: unattested })).notProven.join("\n")).not.toContain("That the connection ended");
    for (const words of ["No policy", "format 1", "the seller named it", "secret", "EZKL", "left out"])
      expect(said).not.toContain(words);
    const metered = await judge({ receipt: upto.receipt, policy: upto.policy, evaluateAt: upto.evaluateAt });
    expect(metered.notProven.join("\n")).toContain("the seller named it");
    const unknown = structuredClone(fixture.receipt);
    Object.assign(unknown.core.payment, { scheme: "of-tomorrow", method: "of-tomorrow" });
    expect((await judge({ receipt: unknown })).notProven.join("\n")).not.toContain("the seller named it");
  });

  test("says whose agreement a signature shows: a permit's names no payer where the seller's key signed nothing", async () => {
    const { receipt, policy, evaluateAt } = upto;
    const evidence = receipt.core.evidence.filter(({ kind }) => kind !== "signature.tee");
    const unsigned = { ...receipt, core: { ...receipt.core, evidence } };
    const agreed = async (one: Receipt): Promise<string | undefined> =>
      (await judge({ receipt: one, policy, evaluateAt })).notProven.find((words) => words.includes("payer agreed"));
    expect(await agreed(receipt)).toBeUndefined();
    expect(await agreed(unsigned)).toContain("names no payer");
    for (const one of [receipt, unsigned])
      expect(await agreed({ ...one, later: [] })).toContain("its signature is not in the file");
  });

  test("of a receipt whose parts nothing can judge fails in those, and throws nothing", async () => {
    const broken = structuredClone(fixture.receipt);
    Object.assign(broken.core, { payment: { ...broken.core.payment, amount: "no number" } });
    expect(brief(await judge({ receipt: broken }), "payment")).toBe("failed: fail payment_mismatch");
    Object.assign(broken.core, { offer: null });
    const judged = await judge({ receipt: broken });
    expect(brief(judged, "payment")).toBe("failed: fail verifier_error");
    expect(judged.layers.platform.status).toBe("pass");
  });

  test("counts a re-execution of one's own, which is no proof", async () => {
    const receipt = withLater(replay(1));
    const own = receipt.later.map(({ evidence }) => evidence);
    expect(await judge({ receipt, own })).toMatchObject({ replayed: true, assurance: "attested", verdict: "verified" });
    expect(await judge({ receipt })).toMatchObject({ replayed: false, verdict: "verified" });
    const proven = await judge({ receipt, own, policy: { assurance: "proven" } });
    expect(brief(proven, "computation")).toBe("unverified: pass replay_matched");
    const differs = withLater(replay(2));
    const mine = differs.later.map(({ evidence }) => evidence);
    expect(await judge({ receipt: differs, own: mine })).toMatchObject({ replayed: false, verdict: "failed" });
    const contradicted = withLater(replay(1), { kind: "contradiction", layer: "computation", code: "maker_failed" });
    const all = contradicted.later.map(({ evidence }) => evidence);
    expect(await judge({ receipt: contradicted, own: all })).toMatchObject({ replayed: false, verdict: "failed" });
  });

  test("names a computation that no version of this kind can judge, and none where there is none", async () => {
    const unknown = await judge({ receipt: withLater({ kind: "zk.of-tomorrow" }) });
    expect(brief(unknown, "computation")).toBe("verified: unsupported unsupported_evidence");
    expect(brief(await judge(), "computation")).toBe("verified: skip no_evidence");
    const note = await judge({ receipt: withLater({ kind: "note.any" }) });
    expect(brief(note, "computation")).toBe("verified: skip no_evidence");
  });
});

describe("what is outstanding", () => {
  test.each(["computation", "inclusion", "settlement"] as const)(
    "stands in %s where nothing is there",
    async (layer) => {
      const bare = { ...fixture.receipt, later: [] };
      expect((await judge({ receipt: bare, outstanding: [waiting(layer)] })).layers[layer]).toEqual({
        status: "pending",
        code: "awaiting_replay",
        note: "It is awaited.",
      });
    },
  );

  test("stands in no other layer, and in none that its evidence decides", async () => {
    expect(brief(await judge({ outstanding: [waiting("model")] }), "model")).toBe("verified: pass ok");
    const own = fixture.receipt.later.map(({ evidence }) => evidence);
    const settled = await judge({ own, outstanding: [waiting("settlement", { status: "fail" })] });
    expect(brief(settled, "settlement")).toBe("verified: pass ok");
    const replayed = withLater(replay(1));
    const computed = async (assurance: "attested" | "proven", status: "pending" | "skip") => {
      const policy = { assurance };
      const ours = replayed.later.map(({ evidence }) => evidence);
      const outstanding = [waiting("computation", { status, code: "awaiting_proof" })];
      return (await judge({ receipt: replayed, own: ours, policy, outstanding })).layers.computation.code;
    };
    for (const status of ["pending", "skip"] as const) {
      expect(await computed("attested", status)).toBe("replay_matched");
      // A re-execution does not end the wait for a proof.
      expect(await computed("proven", status)).toBe("awaiting_proof");
    }
    const differs = await judge({
      receipt: withLater(replay(2)),
      policy: { assurance: "proven" },
      outstanding: [waiting("computation")],
    });
    expect(differs.layers.computation.code).toBe("replay_mismatch");
  });

  test("T67: is ended by no evidence that decides nothing, of a kind that is known or not", async () => {
    const held = waiting("computation", { holdsVerdict: true });
    for (const evidence of [{ kind: "zk.of-tomorrow" }, { kind: "replay.of-tomorrow" }, replay(1)] as Evidence[])
      for (const assurance of ["attested", "proven"] as const) {
        const judged = await judge({ receipt: withLater(evidence), policy: { assurance }, outstanding: [held] });
        expect(brief(judged, "computation")).toBe("pending: pending awaiting_replay");
        const given = await judge({
          receipt: withLater(evidence),
          policy: { assurance },
          outstanding: [{ ...held, status: "skip", code: "not_replayed" }],
        });
        expect(given.layers.computation.status).not.toBe("pending");
      }
    // A file's word of a chain decides nothing.
    const reported = await judge({ outstanding: [waiting("settlement", { holdsVerdict: true })] });
    expect(brief(reported, "settlement")).toBe("pending: pending awaiting_replay");
    const failed = waiting("inclusion", { status: "fail", code: "leaf_missing" });
    for (const more of [[], [{ kind: "inclusion.of-tomorrow" }]]) {
      const judged = await judge({ receipt: withLater(...more), outstanding: [failed] });
      expect(brief(judged, "inclusion")).toBe("failed: fail leaf_missing");
    }
  });

  test("is told by the worst of several, whatever their order", async () => {
    const ranks = ["fail", "pending", "skip"] as const;
    const codes = { fail: "replay_mismatch", pending: "awaiting_proof", skip: "not_replayed" } as const;
    for (const [at, worst] of ranks.entries())
      for (const order of [ranks.slice(at), ranks.slice(at).toReversed()]) {
        const outstanding = order.map((status) => waiting("computation", { status, code: codes[status] }));
        expect((await judge({ outstanding })).layers.computation).toMatchObject({ status: worst, code: codes[worst] });
      }
  });

  test("holds the verdict only where it is said to, and while it is awaited", async () => {
    const verdictOf = async (changes: Partial<Outstanding>): Promise<string> =>
      (await judge({ outstanding: [waiting("computation", changes)] })).verdict;
    expect(await verdictOf({})).toBe("verified");
    expect(await verdictOf({ holdsVerdict: true })).toBe("pending");
    expect(await verdictOf({ holdsVerdict: true, status: "skip" })).toBe("verified");
  });
});

describe("another receipt of the purchase", () => {
  const rivals = (changes: Partial<Rivals> = {}): Changes => ({
    rivals: { others: ["p402_other"], own: null, contestedBy: null, ...changes },
  });
  const about = ({ notProven }: Appraisal): string => notProven.filter((one) => one.includes("p402_")).join("\n");

  test("takes nothing away by itself, and is named", async () => {
    const judged = await judge(rivals());
    expect(brief(judged, "payment")).toBe("verified: pass ok");
    expect(about(judged)).toContain("p402_other");
    expect(about(await judge())).toBe("");
  });

  test("takes the pass away if it holds up too, and not a failure", async () => {
    expect(brief(await judge(rivals({ contestedBy: "p402_other" })), "payment")).toBe(
      "unverified: skip purchase_contested",
    );
    const broken = structuredClone(fixture.receipt);
    Object.assign(broken.core.payment, { amount: "no number" });
    for (const changes of [{ contestedBy: "p402_other" }, { own: "p402_other" }])
      expect(brief(await judge({ ...rivals(changes), receipt: broken }), "payment")).toBe(
        "failed: fail payment_mismatch",
      );
  });

  test("condemns it if that one is the buyer's own, which no other contests", async () => {
    const other = await judge(rivals({ own: "p402_own" }));
    expect(brief(other, "payment")).toBe("failed: fail purchase_differs");
    expect(about(other)).toContain("this buyer's own is p402_own");
    const own = await judge(rivals({ own: fixture.receipt.id }));
    expect(brief(own, "payment")).toBe("verified: pass ok");
    expect(about(own)).toContain("this one is this buyer's own");
  });
});

describe("a contradiction", () => {
  test("is each kind that a file tells twice without saying so", () => {
    const found = (...kinds: string[]) =>
      ambiguitiesOf({
        ...fixture.receipt,
        later: kinds.map((kind) => ({
          at: fixture.receipt.core.response.receivedAt,
          evidence: kind.startsWith("disputed ") ? { kind: "disputed", of: kind.slice(9) as Disputable } : { kind },
        })),
      }).map(({ layer, code }) => `${layer} ${code}`);
    const layers = ["settlement", "inclusion", "computation", "computation"];
    expect(found(...DISPUTABLE)).toEqual([]);
    for (const [at, kind] of DISPUTABLE.entries()) {
      expect(found(kind, kind)).toEqual([`${layers[at]} ambiguous_evidence`]);
      expect(found(kind, kind, `disputed ${kind}`)).toEqual([]);
      expect(found(`disputed ${kind}`)).toEqual([]);
    }
  });

  test("is told in an order of its words alone", () => {
    expect([inOrder("a", "b"), inOrder("b", "a"), inOrder("a", "a")]).toEqual([-1, 1, 0]);
  });

  test("of each known code has its sentence, and another one a general one", () => {
    expect(describeContradiction("leaf_missing")).toBe(BATCH_CONTRADICTIONS.leaf_missing);
    expect(describeContradiction("maker_failed")).toContain("maker");
    for (const code of ["of_tomorrow", "constructor", "toString"]) expect(describeContradiction(code)).toBe(null);
  });

  test("takes the place of anything but a failure that the evidence shows", async () => {
    const { layers } = await judge();
    const told = (code: string): Evidence => ({ kind: "contradiction", layer: "model", code });
    const after = withContradictions(layers, withLater(told("of_tomorrow")), []);
    expect(after.model).toMatchObject({ status: "fail", code: "of_tomorrow", note: expect.stringContaining("holder") });
    expect(after).toEqual({ ...layers, model: after.model });
    const known = withContradictions(layers, withLater(told("leaf_missing")), []);
    expect(known.model.note).toBe(BATCH_CONTRADICTIONS.leaf_missing);
    const failed = { ...layers, model: { status: "fail", code: "model_mismatch", note: "" } as const };
    expect(withContradictions(failed, withLater(told("of_tomorrow")), []).model.code).toBe("model_mismatch");
  });

  test("is its maker's own failed, in each layer that the newest appraisal fails", () => {
    const failing = (...layers: Layer[]): Appraisal => {
      const one = structuredClone(someAppraisal({ verdict: "failed" }));
      for (const layer of layers) one.layers[layer] = { status: "fail", code: "any", note: "" };
      return one;
    };
    const found = (...appraisals: Appraisal[]) => failuresOfMaker({ ...fixture.receipt, appraisals });
    expect(found()).toEqual([]);
    expect(found(failing(), someAppraisal())).toEqual([]);
    expect(found(someAppraisal(), failing()).map(({ layer }) => layer)).toEqual(["response"]);
    expect(found(failing("code", "model")).map(({ layer }) => layer)).toEqual(["code", "model"]);
  });
});

test("its maker's failed counts for those who did not make it", async () => {
  const receipt = { ...fixture.receipt, appraisals: [someAppraisal({ verdict: "failed" })] };
  for (const made of [{}, { madeHere: false }])
    expect(brief(await judge({ receipt, ...made }), "response")).toBe("failed: fail maker_failed");
  expect(brief(await judge({ receipt, madeHere: true }), "response")).toBe("verified: pass ok");
});

test("bytes that are left out are named by what was signed of them", async () => {
  const left = redactReceipt(fixture.receipt, { response: true });
  const said = async (receipt: Receipt): Promise<string> => (await judge({ receipt })).notProven.join("\n");
  expect(await said(left)).toContain("only its Keccak-256 was signed");
  const evidence = left.core.evidence.filter(({ kind }) => kind !== "signature.tee");
  expect(await said({ ...left, core: { ...left.core, evidence } })).toContain("no signature covers them");
});

describe("evidence", () => {
  test("of a kind is none, one, or several, which are never one", () => {
    const [one, other] = [replay(1), replay(2)];
    expect(onlyOne([one, { kind: "note.any" }], "replay.onnx")).toEqual({ kind: "one", evidence: one });
    expect(onlyOne([{ kind: "note.any" }], "replay.onnx")).toEqual({ kind: "none" });
    expect(onlyOne([one, other], "replay.onnx")).toEqual({ kind: "many" });
    expect(onlyOne([one, one], "replay.onnx")).toEqual({ kind: "many" });
  });

  test("tells of a chain where it was settled or anchored there", () => {
    const told = KNOWN_KINDS.filter((kind) => isOfChain({ kind }));
    expect(told.toSorted()).toEqual(["inclusion.merkle", "settlement.x402"]);
    const disputed = DISPUTABLE.filter((of) => isOfChain({ kind: "disputed", of }));
    expect(disputed.toSorted()).toEqual(["inclusion.merkle", "settlement.x402"]);
  });

  test("is one's own by what it says, and not by which object it is", () => {
    const isOwn = isOwnAmong([replay(1), { kind: "note.any", words: "any" }]);
    expect(isOwn(structuredClone(replay(1)))).toBe(true);
    expect(isOwn(replay(2))).toBe(false);
    expect(isOwn({ kind: "note.any", words: "other" })).toBe(false);
    expect(isOwnAmong()(replay(1))).toBe(false);
    // What has no canonical form is still the very same object.
    const odd = { kind: "note.any", words: "\ud800" } as Evidence;
    expect(isOwnAmong([odd])(odd)).toBe(true);
  });
});
