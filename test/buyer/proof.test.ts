import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Buyer, BuyRequest, BuyResult } from "../../src/buyer/types.ts";
import { appraisalPolicyOf } from "../../src/buyer/context.ts";
import { newestAppraisal } from "../../src/receipts/newest.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import type { Appraisal, Groth16Evidence, Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { ETH_FEATURES, openMarket, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { buyWith } from "../support/buy.ts";

const ROUTE = { features: [1.2, 0.33, 0.8, 0.3, 0.4, 0.2, 0.9] };
const PAYROLL = { features: [1.02, 0.1, 0.98, 0.9, 0.02, 0.8, 1, 1.01] };

let market: Market;
beforeAll(async () => {
  market = await openMarket({ proving: true });
});
afterAll(() => market.stop());

async function buy(buyer: Buyer, request: Partial<BuyRequest> = {}): Promise<BuyResult> {
  const result = await buyWith(buyer, {
    model: "eth-risk",
    input: ETH_FEATURES,
    assurance: "proven",
    idempotencyKey: crypto.randomUUID(),
    ...request,
  });
  return result;
}
const proofsIn = ({ later }: Receipt): number => later.filter(({ evidence }) => evidence.kind === "zk.groth16").length;

describe("an answer bought with assurance proven", () => {
  test.each([
    ["eth-risk", ETH_FEATURES],
    ["payroll-check", PAYROLL],
    ["supply-route", ROUTE],
  ])("%s: is pending at once and verified when its proof lands, once", async (model, input) => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, { model, input, seller: "prover" });
    expect(bought.appraisal).toMatchObject({ verdict: "pending", layers: { computation: { status: "pending" } } });
    const receipt = await buyer.getReceipt(bought.receipt.id, { waitSeconds: 120 });
    const appraisal = newestAppraisal(receipt);
    expect(appraisal).toMatchObject({
      verdict: "verified",
      assurance: "proven",
      layers: { computation: { status: "pass", code: "development_proof" } },
    });
    expect(appraisal.notProven.join(" ")).toContain("Development setup");
    expect(proofsIn(receipt)).toBe(1);
  });

  test("wait verified comes back with the proof", async () => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, { seller: "prover", wait: "verified" });
    expect(bought.appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
  });

  test("a proof of another model's computation fails, and its seller is on hold", async () => {
    const buyer = await market.buyer();
    // The cheapest that claims to prove is the one that lies.
    const first = await buy(buyer, { wait: "verified" });
    expect(first.receipt.core.seller.id).toBe("forger");
    expect(first.appraisal).toMatchObject({ verdict: "failed", layers: { computation: { status: "fail" } } });
    expect((await buyer.sellers()).find(({ id }) => id === "forger")).toMatchObject({ hold: expect.anything() });
    const second = await buy(buyer, { wait: "verified" });
    expect(second.receipt.core.seller.id).toBe("prover");
    expect(second.appraisal.verdict).toBe("verified");
  });

  test("a development setup counts only where the policy says so", async () => {
    const buyer = await market.buyer((config) => {
      config.verification.developmentSetups = false;
    });
    const bought = await buy(buyer, { seller: "prover" });
    await eventually(async () => expect(proofsIn(await buyer.getReceipt(bought.receipt.id))).toBe(1));
    expect(newestAppraisal(await buyer.getReceipt(bought.receipt.id))).toMatchObject({
      verdict: "unverified",
      assurance: "attested",
      layers: { computation: { status: "skip", code: "development_setup" } },
    });
  });

  test("an honest answer to an input far from the sampled ones is not condemned by what rounding does to it", async () => {
    const buyer = await market.buyer();
    // Sampled were numbers between -2 and 2. Here fixed point is 0.02 away, and 0.004 are tolerated.
    const features = [6.123, 13.028, -27.656, 25.942, 46.133, 49.184, 43.803];
    const bought = await buy(buyer, {
      model: "supply-route",
      seller: "prover",
      input: { features },
      wait: "verified",
    });
    const { origin } = market.devnet.sellers.prover!;
    const published = await fetch(`${origin}/v1/proofs/${bought.receipt.core.request.sha256}`);
    expect(await published.json()).toEqual({ state: "failed", code: "beyond_tolerance" });
    expect(bought.appraisal).toMatchObject({
      verdict: "unverified",
      layers: { computation: { status: "skip", code: "proof_not_delivered" } },
    });
    expect((await buyer.sellers()).find(({ id }) => id === "prover")).toMatchObject({ hold: null });
  });

  test.each([
    ["not_one_row", "of several rows", [ETH_FEATURES.features, ETH_FEATURES.features]],
    ["input_too_large", "with a number too large for the circuit", [1e6, ...ETH_FEATURES.features.slice(1)]],
  ])("is told %s for a request %s, and its seller is not held", async (code, _what, features) => {
    const buyer = await market.buyer();
    const bought = await buy(buyer, { seller: "prover", input: { features }, wait: "verified" });
    const { origin } = market.devnet.sellers.prover!;
    const published = await fetch(`${origin}/v1/proofs/${bought.receipt.core.request.sha256}`);
    expect(await published.json()).toEqual({ state: "failed", code });
    expect(bought.appraisal).toMatchObject({
      verdict: "unverified",
      layers: { computation: { status: "skip", code: "proof_not_delivered" } },
    });
    expect((await buyer.sellers()).find(({ id }) => id === "prover")).toMatchObject({ hold: null });
  });

  test("is unverified where the seller knows of no proof, as after a restart, and its seller is not held", async () => {
    const buyer = await market.buyer((config) => {
      const [prover, honest] = ["prover", "honest"].map((id) => config.sellers.find((one) => one.id === id)!);
      honest!.reference.proofs = prover!.reference.proofs;
    });
    const bought = await buy(buyer, { seller: "honest", assurance: "attested", wait: "verified" });
    await eventually(async () =>
      expect(newestAppraisal(await buyer.getReceipt(bought.receipt.id)).layers.computation).toMatchObject({
        status: "skip",
        code: "proof_not_delivered",
      }),
    );
    expect((await buyer.sellers()).find(({ id }) => id === "honest")).toMatchObject({ hold: null });
  });
});

describe("a proven receipt", () => {
  let buyer: Buyer;
  let proven: Receipt;
  let policy: AppraisalPolicy;
  const bought = async (): Promise<Receipt> => (await buy(buyer, { seller: "prover", wait: "verified" })).receipt;
  beforeAll(async () => {
    buyer = await market.buyer();
    proven = await bought();
    policy = { ...appraisalPolicyOf(market.config(), "proven"), reportedSuffices: true };
  });
  const proofOf = ({ later }: Receipt): Groth16Evidence =>
    later.map(({ evidence }) => evidence).find((one): one is Groth16Evidence => one.kind === "zk.groth16")!;
  const withProof = (change: Partial<Groth16Evidence>): Receipt => ({
    ...proven,
    later: proven.later.map((one) =>
      one.evidence.kind === "zk.groth16" ? { ...one, evidence: { ...proofOf(proven), ...change } } : one,
    ),
  });
  const judge = (receipt: Receipt, under = policy): Promise<Appraisal> =>
    appraise({ receipt, policy: under, now: new Date(), evaluateAt: new Date(receipt.core.response.receivedAt) });
  const computation = async (receipt: Receipt, under = policy) => (await judge(receipt, under)).layers.computation;
  const pinning = (change: (seller: AppraisalPolicy["sellers"][string]) => void): AppraisalPolicy => {
    const changed = structuredClone(policy);
    change(changed.sellers["prover"]!);
    return changed;
  };

  test("is verified by anyone with the same pins, from its file alone", async () => {
    expect(await judge(proven)).toMatchObject({ verdict: "verified", assurance: "proven" });
  });

  test("is not verified with any part of its proof changed", async () => {
    const { proof, signals, key } = proofOf(proven);
    const digit = (text: string, at: number): string =>
      text.slice(0, at) + (text[at] === "7" ? "8" : "7") + text.slice(at + 1);
    const altered = [
      ...Array.from({ length: 32 }, (_, k) => withProof({ proof: digit(proof, 16 * k + (k % 16)) })),
      ...signals.map((signal, at) => withProof({ signals: signals.with(at, String(BigInt(signal) + 1n)) })),
      withProof({ signals: signals.slice(1) }),
      withProof({ signals: [...signals, "0"] }),
      ...(["alpha1", "beta2", "gamma2", "delta2"] as const).map((name) =>
        withProof({ key: { ...key, [name]: digit(key[name], 9) } }),
      ),
      withProof({ key: { ...key, tolerance: 1e9 } }),
      withProof({ key: { ...key, setup: "ceremony" } }),
    ];
    const statuses = await Promise.all(altered.map((one) => computation(one)));
    expect(statuses.filter(({ status }) => status !== "fail")).toEqual([]);
  });

  test("fails with the proof of another purchase of the same input", async () => {
    const other = await bought();
    expect(other.core.request.sha256).not.toBe(proven.core.request.sha256);
    expect(await computation(withProof(proofOf(other)))).toMatchObject({
      status: "fail",
      code: "proof_of_another_request",
    });
    expect(await computation({ ...proven, later: [...proven.later, ...other.later] })).toMatchObject({
      status: "fail",
      code: "ambiguous_evidence",
    });
  });

  test("fails where the answer is not what was proved", async () => {
    const changed = structuredClone(proven);
    const answer = JSON.parse(atob(changed.core.response.body!)) as { outputs: { name: string; data: number[] }[] };
    const label = answer.outputs.find(({ name }) => name === "class")!;
    label.data = [(label.data[0]! + 1) % 3];
    changed.core.response.body = btoa(JSON.stringify(answer));
    expect(await computation(changed)).toMatchObject({ status: "fail", code: "proof_answer_mismatch" });
    answer.outputs.push({ ...answer.outputs[0]!, name: "another" });
    changed.core.response.body = btoa(JSON.stringify(answer));
    expect(await computation(changed)).toMatchObject({ status: "fail", code: "proof_answer_mismatch" });
  });

  test("hangs on what the policy pins, and on nothing that the prover says", async () => {
    expect(
      await computation(
        proven,
        pinning((seller) => void (seller.proofs = {})),
      ),
    ).toMatchObject({
      status: "skip",
      code: "proof_key_not_pinned",
    });
    expect(
      await computation(
        proven,
        pinning((seller) => void (seller.proofs["eth-risk"] = "ab".repeat(32))),
      ),
    ).toMatchObject({
      status: "fail",
      code: "proof_key_mismatch",
    });
    expect(
      await computation(
        proven,
        pinning((seller) => void (seller.models["eth-risk"] = "ab".repeat(32))),
      ),
    ).toMatchObject({
      status: "fail",
      code: "proof_model_mismatch",
    });
    expect(
      await computation({ ...proven, later: proven.later.filter(({ evidence }) => evidence.kind !== "zk.groth16") }),
    ).toMatchObject({
      status: "skip",
      code: "no_evidence",
    });
  });

  test("without its bodies says that nothing can be compared", async () => {
    const { body: _request, ...request } = proven.core.request;
    const redacted = { ...proven, core: { ...proven.core, request } };
    expect(await computation(redacted)).toMatchObject({ status: "skip", code: "body_redacted" });
  });
});

describe("a seller without an enclave", () => {
  const bought = async (assurance: "signed" | "proven"): Promise<{ buyer: Buyer; result: BuyResult }> => {
    const buyer = await market.buyer();
    return { buyer, result: await buy(buyer, { seller: "keyed", assurance, wait: "verified" }) };
  };
  const ALONE = "In what machine the signing key is, and who else holds it: your policy names the key itself";

  test("T101: is verified at signed by its pinned key, and nothing says in what machine that is", async () => {
    const { result } = await bought("signed");
    expect(result.appraisal).toMatchObject({
      verdict: "verified",
      simulated: false,
      layers: { platform: { status: "skip", code: "no_attestation" }, key: { status: "pass", code: "key_alone" } },
    });
    expect(result.appraisal.notProven.join(" ")).toContain(ALONE);
    expect(result.appraisal.notProven.join(" ")).toContain("that the seller runs on attested hardware");
  });

  test("T101: is verified at proven by its proof beside its key, offline from the file alone, and by nothing less", async () => {
    const { result } = await bought("proven");
    expect(result.appraisal).toMatchObject({ verdict: "verified", assurance: "proven" });
    const policy = { ...appraisalPolicyOf(market.config(), "proven"), reportedSuffices: true };
    const judge = (
      receipt: Receipt,
      change: (seller: AppraisalPolicy["sellers"][string]) => void = () => undefined,
      assurance: AppraisalPolicy["assurance"] = "proven",
    ) => {
      const under = { ...structuredClone(policy), assurance };
      change(under.sellers["keyed"]!);
      const evaluateAt = new Date(receipt.core.response.receivedAt);
      return appraise({ receipt, policy: under, now: new Date(), evaluateAt });
    };
    const { receipt } = result;
    const whole = await judge(receipt);
    expect(whole).toMatchObject({ verdict: "verified", assurance: "proven" });
    expect(whole.notProven.join(" ")).toContain(ALONE);
    const without = { ...receipt, later: receipt.later.filter(({ evidence }) => evidence.kind !== "zk.groth16") };
    expect(await judge(without)).toMatchObject({ verdict: "unverified", assurance: "signed" });
    // The proof does not stand in for the key, nor for hardware where the policy names measurements.
    const other = await judge(receipt, (seller) => (seller.keyIds = [`0x${"00".repeat(32)}`]));
    expect(other).toMatchObject({ verdict: "failed", assurance: "none", layers: { key: { code: "key_not_pinned" } } });
    const none = await judge(receipt, (seller) => (seller.keyIds = []));
    expect(none).toMatchObject({
      verdict: "unverified",
      assurance: "none",
      layers: { key: { code: "key_not_known" } },
    });
    const measured = await judge(receipt, (seller) => (seller.measurements = [{ 0: "ab".repeat(48) }]));
    expect(measured).toMatchObject({ verdict: "unverified", layers: { platform: { code: "no_attestation" } } });
    // Nor at any less assurance: an attestation that fails would only have to be left out.
    const signed = await judge(receipt, (seller) => (seller.measurements = [{ 0: "ab".repeat(48) }]), "signed");
    expect(signed).toMatchObject({
      verdict: "unverified",
      assurance: "none",
      layers: { key: { code: "attestation_missing" }, response: { status: "skip" } },
    });
    // The proof and the payment of another purchase of the same input.
    const second = (await bought("proven")).result.receipt;
    const mixed = await judge({ ...receipt, later: second.later });
    expect(mixed).toMatchObject({
      verdict: "failed",
      assurance: "signed",
      layers: { computation: { code: "proof_of_another_request" }, settlement: { status: "fail" } },
    });
    const { offer, payment } = second.core;
    const paidOtherwise = await judge({ ...createReceipt({ ...receipt.core, offer, payment }), later: second.later });
    expect(paidOtherwise).toMatchObject({ verdict: "failed", layers: { payment: { status: "fail" } } });
  });

  test("T101: sells nothing to a buyer that asks for hardware, or that names another key", async () => {
    const before = await market.devnet.balanceOf(market.devnet.sellers.keyed!.payTo);
    const buyer = await market.buyer();
    await expect(buy(buyer, { seller: "keyed", assurance: "attested" })).rejects.toMatchObject({
      code: "no_seller_for_assurance",
    });
    const naming = await market.buyer((config) => {
      config.sellers.find(({ id }) => id === "keyed")!.reference.keyIds = [`0x${"00".repeat(32)}`];
    });
    for (const assurance of ["signed", "proven"] as const)
      await expect(buy(naming, { seller: "keyed", assurance })).rejects.toMatchObject({ code: "attestation_failed" });
    expect(await market.devnet.balanceOf(market.devnet.sellers.keyed!.payTo)).toBe(before);
  });
});
