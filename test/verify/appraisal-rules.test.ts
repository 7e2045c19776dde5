import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, toBase64, utf8 } from "../../src/evidence/bytes.ts";
import { createReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { type Appraisal, type Evidence, type Layer, type Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import {
  BATCH_CONTRADICTIONS,
  describeContradiction,
  failuresOfMaker,
  withContradictions,
} from "../../src/verify/contradictions.ts";
import { isOwnAmong, onlyOne } from "../../src/verify/evidence.ts";
import { readFacts } from "../../src/verify/facts.ts";
import { AWS_NITRO_ROOT } from "../../src/verify/nitro.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerifySession, type VerifySession } from "../../src/verify/session.ts";
import type { AppraiseInput, Outstanding } from "../../src/verify/types.ts";
import { verifyReceipt } from "../../src/verify/verify-receipt.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";
import { appraisal as someAppraisal } from "../support/receipt-core.ts";

let fixture: Fixture;
let upto: Fixture;
beforeAll(async () => {
  [fixture, upto] = await Promise.all([makeFixture(), makeFixture({ method: "upto" })]);
});

const session = createVerifySession();
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
  code: "awaited",
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
    for (const words of ["Simulated", "its signature is not in the file"]) expect(said).toContain(words);
    for (const words of ["No policy", "format 1", "the seller named it", "secret", "EZKL", "left out"])
      expect(said).not.toContain(words);
    const metered = await judge({ receipt: upto.receipt, policy: upto.policy, evaluateAt: upto.evaluateAt });
    expect(metered.notProven.join("\n")).toContain("the seller named it");
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
    const unknown = await judge({ receipt: withLater({ kind: "zk.of-tomorrow" } as Evidence) });
    expect(brief(unknown, "computation")).toBe("verified: unsupported unsupported_evidence");
    expect(brief(await judge(), "computation")).toBe("verified: skip no_evidence");
    const note = await judge({ receipt: withLater({ kind: "note.any" } as Evidence) });
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
        code: "awaited",
        note: "It is awaited.",
      });
    },
  );

  test("stands in no other layer, and in none that has its evidence", async () => {
    expect(brief(await judge({ outstanding: [waiting("model")] }), "model")).toBe("verified: pass ok");
    const settled = await judge({ outstanding: [waiting("settlement", { status: "fail" })] });
    expect(brief(settled, "settlement")).toBe("verified: reported settlement_reported");
    const replayed = withLater(replay(1));
    const computed = (assurance: "attested" | "proven") =>
      judge({ receipt: replayed, policy: { assurance }, outstanding: [waiting("computation")] });
    expect((await computed("attested")).layers.computation.code).toBe("replay_not_ours");
    // Somebody's re-execution does not end the wait for a proof.
    expect((await computed("proven")).layers.computation.code).toBe("awaited");
    const tomorrow = withLater({ kind: "zk.of-tomorrow" } as Evidence);
    const unsupported = await judge({
      receipt: tomorrow,
      policy: { assurance: "proven" },
      outstanding: [waiting("computation")],
    });
    expect(unsupported.layers.computation.code).toBe("unsupported_evidence");
    const differs = await judge({
      receipt: withLater(replay(2)),
      policy: { assurance: "proven" },
      outstanding: [waiting("computation")],
    });
    expect(differs.layers.computation.code).toBe("replay_mismatch");
  });

  test("is told by the worst of several, whatever their order", async () => {
    const ranks = ["fail", "pending", "skip"] as const;
    for (const [at, worst] of ranks.entries())
      for (const order of [ranks.slice(at), ranks.slice(at).toReversed()]) {
        const outstanding = order.map((status) => waiting("computation", { status, code: status }));
        expect((await judge({ outstanding })).layers.computation).toMatchObject({ status: worst, code: worst });
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

describe("a contradiction", () => {
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

describe("evidence", () => {
  test("of a kind is none, one, or several, which are never one", () => {
    const [one, other] = [replay(1), replay(2)];
    expect(onlyOne([one, { kind: "note.any" }], "replay.onnx")).toEqual({ kind: "one", evidence: one });
    expect(onlyOne([{ kind: "note.any" }], "replay.onnx")).toEqual({ kind: "none" });
    expect(onlyOne([one, other], "replay.onnx")).toEqual({ kind: "many" });
    expect(onlyOne([one, one], "replay.onnx")).toEqual({ kind: "many" });
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

describe("the facts of a receipt", () => {
  test("are what its evidence says under its own root", async () => {
    const { core } = fixture.receipt;
    const facts = await readFacts(fixture.receipt);
    const [root] = fixture.policy.simulatedRoots;
    const signature = core.evidence[2] as { timestamp: number };
    expect(facts.platform).toMatchObject({ root, rootIsAws: false, genuine: true, problem: null, answersNonce: true });
    expect(root).not.toBe(AWS_NITRO_ROOT);
    const { time, validFrom, validUntil, measurements } = facts.platform!;
    expect(validFrom!).toBeLessThanOrEqual(time!);
    expect(validUntil!).toBeGreaterThan(time!);
    expect(measurements).toMatchObject(fixture.policy.sellers["fixture"]!.measurements[0]!);
    expect(facts.key).toEqual({ id: core.seller.keyId, bound: true, signedExchange: true });
    expect(facts.times).toEqual({
      sentAt: core.request.sentAt,
      receivedAt: core.response.receivedAt,
      signedAt: new Date(signature.timestamp * 1000).toISOString(),
    });
    const { sha256, keccak256 } = core.request;
    expect(facts.hashes.request).toEqual({ sha256, keccak256, bytes: "here" });
  });

  test("say what does not hold: another nonce, another key, another answer", async () => {
    const changed = async (change: (evidence: Record<string, unknown>[]) => void) => {
      const core = structuredClone(fixture.receipt.core);
      change(core.evidence as Record<string, unknown>[]);
      return readFacts({ ...fixture.receipt, core });
    };
    const nonce = await changed(([nitro]) => (nitro!["nonce"] = "ab".repeat(20)));
    expect(nonce.platform).toMatchObject({ genuine: true, answersNonce: false });
    const key = await changed(([nitro]) => (nitro!["publicKey"] = toBase64(utf8("a key"))));
    expect(key.key).toMatchObject({ bound: false, signedExchange: false });
    const hash = await changed(([, , signature]) => (signature!["outputHash"] = "ab".repeat(32)));
    expect(hash.key).toMatchObject({ bound: true, signedExchange: false });
    const broken = await changed(([nitro]) => (nitro!["document"] = toBase64(utf8("no document"))));
    expect(broken.platform).toEqual({
      root: null,
      rootIsAws: false,
      genuine: false,
      problem: expect.any(String) as string,
      time: null,
      validFrom: null,
      validUntil: null,
      measurements: {},
      answersNonce: false,
    });
    expect(broken.key).toMatchObject({ bound: false });
    const cut = await changed(([nitro]) => {
      const document = fromBase64(nitro!["document"] as string);
      document[document.length - 1]! ^= 1;
      nitro!["document"] = toBase64(document);
    });
    expect(cut.platform).toMatchObject({ root: fixture.policy.simulatedRoots[0], genuine: false, time: null });
    const twice = await changed((evidence) => evidence.push(evidence[0]!, evidence[2]!));
    expect(twice).toMatchObject({ platform: null, key: null, times: { signedAt: null } });
  });
});

describe("verifying a file", () => {
  test("judges at the time of the answer, or another, and keeps what is costly in a session", async () => {
    const bytes = serializeReceipt(createReceiptWithLater());
    const kept: VerifySession = createVerifySession();
    let asked = 0;
    const counting: VerifySession = { ...kept, nitroFacts: (...args) => (asked++, kept.nitroFacts(...args)) };
    const verified = await verifyReceipt(bytes, fixture.policy, { session: counting });
    expect(verified).toMatchObject({ ok: true, appraisal: { verdict: "verified" } });
    expect(asked).toBe(2);
    const at = new Date(fixture.evaluateAt.getTime() + 86_400_000 * 365);
    const late = await verifyReceipt(bytes, fixture.policy, { at });
    expect(late).toMatchObject({ ok: true, appraisal: { verdict: "failed", at: at.toISOString() } });
    expect(await verifyReceipt("no receipt", fixture.policy)).toMatchObject({ ok: false });
  });

  const createReceiptWithLater = (): Receipt => ({
    ...createReceipt(fixture.receipt.core),
    later: fixture.receipt.later,
  });
});
