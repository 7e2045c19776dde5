import fc from "fast-check";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { fromBase64, fromUtf8, sha256, toBase64, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { BN254_R } from "../../src/evidence/groth16.ts";
import { parseReceipt, receiptId, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { EzklEvidence, LayerResult, Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { AppraisalPolicy, EzklReference } from "../../src/verify/policy.ts";
import type { EzklCheck, EzklEngine } from "../../src/verify/types.ts";
import type { Fixture } from "../support/fixture-receipt.ts";
import { CIRCUIT, fixtureOf, INPUT, receiptWith } from "../support/ezkl-purchase.ts";
import { engineHere, evidenceOf, prove, referenceOf, setUp, sG2Of, SECRET, type EzklFiles } from "../support/ezkl.ts";
import type { Circuit } from "../support/ezkl-circuit.ts";

vi.setConfig({ testTimeout: 120_000 });

const withVisibility = (visibility: Partial<Circuit["visibility"]>): Circuit => ({
  ...CIRCUIT,
  visibility: { ...CIRCUIT.visibility, ...visibility },
});

let files: EzklFiles;
let proof: Uint8Array;
let outputs: number[];
let fixture: Fixture;
beforeAll(async () => {
  files = setUp(CIRCUIT);
  ({ proof, outputs } = prove(files, INPUT));
  fixture = await fixtureOf(INPUT, outputs);
});

type Case = {
  evidence?: EzklEvidence;
  reference?: EzklReference | null;
  under?: Fixture;
  engine?: EzklEngine | null;
  developmentSetups?: boolean;
};
const genuine = (): EzklEvidence => evidenceOf(files, proof);
const policyWith = (
  { policy }: Fixture,
  reference: EzklReference | null,
  developmentSetups = true,
): AppraisalPolicy => {
  const changed = structuredClone({ ...policy, developmentSetups });
  if (reference !== null) changed.sellers["fixture"]!.ezkl = { "eth-risk": reference };
  return changed;
};
const judge = ({ evidence = genuine(), reference = referenceOf(files), under = fixture, ...rest }: Case = {}) => {
  const { engine = engineHere, developmentSetups } = rest;
  return appraise({
    receipt: receiptWith(under, evidence),
    policy: policyWith(under, reference, developmentSetups),
    now: new Date(),
    evaluateAt: under.evaluateAt,
    ...(engine === null ? {} : { ezkl: engine }),
  });
};
const computation = async (one?: Case): Promise<Pick<LayerResult, "status" | "code">> => {
  const { status, code } = (await judge(one)).layers.computation;
  return { status, code };
};
const failed = (code: string) => ({ status: "fail", code });
const skipped = (code: string) => ({ status: "skip", code });
const unsupported = (code: string) => ({ status: "unsupported", code });

const PASSED = { status: "pass", code: "development_proof" };
/** An engine that must not be asked. */
const NOT_ASKED: EzklEngine = () => Promise.reject(new Error("asked"));

type ProofFile = { instances: string[][]; proof: number[]; transcript_type: string; pretty_public_inputs?: unknown };
const readProof = (): ProofFile => JSON.parse(fromUtf8(proof)) as ProofFile;
const withProof = (change: Partial<ProofFile>): EzklEvidence =>
  evidenceOf(files, utf8(JSON.stringify({ ...readProof(), ...change })));

describe("a proof that EZKL made", () => {
  test("shows the computation, and what it does not show is said", async () => {
    const { layers, notProven, assurance } = await judge();
    expect(layers.computation).toMatchObject(PASSED);
    expect(assurance).toBe("proven");
    expect(notProven.join(" ")).toContain("Development setup");
    expect(notProven.join(" ")).toContain("an EZKL proof names no request");
  });

  test("of a ceremony's setup passes without the word development", async () => {
    const { srs, ...rest } = referenceOf(files);
    const reference: EzklReference = { ...rest, srs: { ...srs, setup: "ceremony" } };
    const { layers, notProven } = await judge({ reference, developmentSetups: false });
    expect(layers.computation).toMatchObject({ status: "pass", code: "ok" });
    expect(notProven.join(" ")).not.toContain("Development");
    expect(notProven.join(" ")).toContain("an EZKL proof names no request");
  });

  test("travels in a receipt's file", async () => {
    const { receipt } = fixture;
    const core = { ...receipt.core, evidence: [...receipt.core.evidence, genuine()] };
    const parsed = parseReceipt(serializeReceipt({ ...receipt, core, id: receiptId(core) }));
    expect(parsed).toMatchObject({ ok: true });
    const read = parsed as { receipt: Receipt };
    const { layers } = await appraise({
      receipt: read.receipt,
      policy: policyWith(fixture, referenceOf(files)),
      now: new Date(),
      evaluateAt: fixture.evaluateAt,
      ezkl: engineHere,
    });
    expect(layers.computation).toMatchObject(PASSED);
  });

  test("is of whatever purchase has the same input: nothing in it says which", async () => {
    const again = await fixtureOf(INPUT, outputs);
    expect(again.receipt.core.request.sha256).not.toBe(fixture.receipt.core.request.sha256);
    expect(await computation({ under: again })).toEqual(PASSED);
  });

  test("twice in one receipt is no proof", async () => {
    const { layers } = await appraise({
      receipt: receiptWith(fixture, genuine(), genuine()),
      policy: policyWith(fixture, referenceOf(files)),
      now: new Date(),
      evaluateAt: fixture.evaluateAt,
      ezkl: engineHere,
    });
    expect(layers.computation).toMatchObject(failed("ambiguous_evidence"));
  });
});

describe("is refused", () => {
  test("with a bit turned in any word of it, at 360 places", async () => {
    const bytes = readProof().proof;
    const words = bytes.length / 32;
    expect(words).toBeGreaterThan(60);
    const places = Array.from({ length: 360 }, (_, k) => 32 * (k % words) + ((13 * Math.floor(k / words)) % 32));
    expect(new Set(places.map((place) => Math.floor(place / 32))).size).toBe(words);
    for (const place of places) {
      const changed = bytes.with(place, bytes[place]! ^ (1 << (place % 8)));
      expect(await computation({ evidence: withProof({ proof: changed }) }), `byte ${place}`).toEqual(
        failed("proof_invalid"),
      );
    }
  });

  test("with any public number changed, whether or not receipt and number agree", async () => {
    const [numbers = []] = readProof().instances;
    expect(numbers).toHaveLength(INPUT.length + outputs.length);
    for (const [at, number] of numbers.entries()) {
      const other = (number.startsWith("00") ? "01" : "00") + number.slice(2);
      const evidence = withProof({ instances: [numbers.with(at, other)] });
      const { status } = await computation({ evidence });
      expect(status, `number ${at}`).toBe("fail");
    }
    const input = INPUT.with(2, 2.5);
    const agreeing = withProof({ instances: [numbers.with(2, "4001".padEnd(64, "0"))] });
    expect(await computation({ evidence: agreeing, under: await fixtureOf(input, outputs) })).toEqual(
      failed("proof_invalid"),
    );
  });

  test("with another number of public numbers, before any engine sees it", async () => {
    const [numbers = []] = readProof().instances;
    const zero = "00".repeat(32);
    const wrong: [string[][], string][] = [
      [[numbers.slice(1)], "proof_of_another_request"],
      [[numbers.slice(0, -1)], "proof_answer_mismatch"],
      [[[...numbers, zero]], "proof_answer_mismatch"],
      [[[]], "proof_of_another_request"],
      [[numbers, numbers], "proof_malformed"],
      [[], "proof_malformed"],
    ];
    for (const [instances, code] of wrong)
      expect(await computation({ evidence: withProof({ instances }), engine: NOT_ASKED })).toEqual(failed(code));
  });

  test("with a number in its other form, the field's order higher", async () => {
    const [numbers = []] = readProof().instances;
    const reversed = (hex: string): string => hex.match(/../g)!.toReversed().join("");
    for (const at of numbers.keys()) {
      const other = reversed((BigInt(`0x${reversed(numbers[at]!)}`) + BN254_R).toString(16).padStart(64, "0"));
      const evidence = withProof({ instances: [numbers.with(at, other)] });
      expect(await computation({ evidence, engine: NOT_ASKED })).toEqual(failed("proof_malformed"));
    }
  });

  test("for another input or answer than the receipt's", async () => {
    for (const at of INPUT.keys()) {
      const under = await fixtureOf(INPUT.with(at, INPUT[at]! + 2 ** -7), outputs);
      expect(await computation({ under })).toEqual(failed("proof_of_another_request"));
    }
    expect(await computation({ under: await fixtureOf(INPUT.slice(1), outputs) })).toEqual(
      failed("proof_of_another_request"),
    );
    for (const at of outputs.keys()) {
      const under = await fixtureOf(INPUT, outputs.with(at, outputs[at]! + 2 ** -13));
      expect(await computation({ under })).toEqual(failed("proof_answer_mismatch"));
    }
    expect(await computation({ under: await fixtureOf(INPUT, outputs, "other") })).toEqual(
      failed("proof_answer_mismatch"),
    );
  });

  test("where the answer is within the policy's tolerance it is not", async () => {
    const under = await fixtureOf(INPUT, outputs.with(0, outputs[0]! + 0.01));
    expect(await computation({ under, reference: { ...referenceOf(files), tolerance: 0.02 } })).toEqual(PASSED);
    expect(await computation({ under, reference: { ...referenceOf(files), tolerance: 0.001 } })).toEqual(
      failed("proof_answer_mismatch"),
    );
  });

  test("by another setup's point", async () => {
    for (const secret of [1n, SECRET + 1n])
      expect(
        await computation({ reference: { ...referenceOf(files), srs: { sG2: sG2Of(secret), setup: "development" } } }),
      ).toEqual(failed("proof_invalid"));
    const [, ...rest] = sG2Of(SECRET);
    const noPoint: EzklReference = { ...referenceOf(files), srs: { sG2: `f${rest.join("")}`, setup: "development" } };
    expect(await computation({ reference: noPoint, engine: NOT_ASKED })).toEqual(skipped("srs_invalid"));
  });

  test("with key or settings other than the pinned ones, before any engine sees them", async () => {
    const { key, settings } = genuine();
    const turned = (text: string, at: number): string => {
      const bytes = fromBase64(text);
      bytes[at] = bytes[at]! ^ 1;
      return toBase64(bytes);
    };
    for (let at = 0; at < files.key.length; at += 29)
      expect(await computation({ evidence: { ...genuine(), key: turned(key, at) }, engine: NOT_ASKED })).toEqual(
        failed("proof_key_mismatch"),
      );
    for (let at = 0; at < files.settings.length; at += 41)
      expect(
        await computation({ evidence: { ...genuine(), settings: turned(settings, at) }, engine: NOT_ASKED }),
      ).toEqual(failed("proof_settings_mismatch"));
  });

  test("under the key of other weights", async () => {
    const other = setUp({ ...CIRCUIT, weights: CIRCUIT.weights.toReversed() });
    expect(await computation({ evidence: evidenceOf(other, proof), reference: referenceOf(other) })).toEqual(
      failed("proof_invalid"),
    );
  });
});

describe("is not counted", () => {
  test("where the policy names no circuit, or no development setups", async () => {
    expect(await computation({ reference: null, engine: NOT_ASKED })).toEqual(skipped("proof_key_not_pinned"));
    expect(await computation({ developmentSetups: false, engine: NOT_ASKED })).toEqual(skipped("development_setup"));
  });

  test.each([
    ["inputs are private", "ezkl_inputs_private", withVisibility({ inputs: "Private" })],
    ["outputs are private", "ezkl_outputs_private", withVisibility({ outputs: "Private" })],
    ["weights are not in the key", "ezkl_weights_open", withVisibility({ weights: "Private" })],
  ])("where its circuit's %s, genuine as it is", async (_what, code, circuit) => {
    const made = setUp(circuit);
    const { proof: one } = prove(made, INPUT);
    expect(await engineHere(checkOf(made, one))).toBe("verified");
    expect(
      await computation({ evidence: evidenceOf(made, one), reference: referenceOf(made), engine: NOT_ASKED }),
    ).toEqual(skipped(code));
  });

  test("because weights outside the key are the prover's choice: two models, one key, and each verifies", async () => {
    const circuit = withVisibility({ weights: "Private" });
    const [one, other] = [setUp(circuit), setUp({ ...circuit, weights: circuit.weights.toReversed() })];
    const proofs = [prove(one, INPUT), prove(other, INPUT)];
    expect(toHex(one.key)).toBe(toHex(other.key));
    expect(proofs[0]!.outputs).not.toEqual(proofs[1]!.outputs);
    for (const { proof: each } of proofs) expect(await engineHere(checkOf(one, each))).toBe("verified");
  });

  test("where bodies are left out", async () => {
    const { receipt } = fixture;
    const { body: _body, ...request } = receipt.core.request;
    const under = { ...fixture, receipt: { ...receipt, core: { ...receipt.core, request } } };
    expect(await computation({ under, engine: NOT_ASKED })).toEqual(skipped("body_redacted"));
  });

  test("where nobody can check it", async () => {
    expect(await computation({ engine: null })).toEqual(unsupported("ezkl_engine_absent"));
    for (const outcome of ["unreadable", "missing", "timeout", "crashed"] as const)
      expect(await computation({ engine: () => Promise.resolve(outcome) })).toEqual(unsupported(`ezkl_${outcome}`));
    expect(await computation({ engine: NOT_ASKED })).toEqual(failed("verifier_error"));
  });

  test("where the settings are of a form that is not known, or of another commitment", async () => {
    const settings = JSON.parse(fromUtf8(files.settings)) as { run_args: object };
    for (const text of [
      "{",
      "{}",
      JSON.stringify({ ...settings, run_args: { ...settings.run_args, commitment: "IPA" } }),
      JSON.stringify({ ...settings, model_instance_shapes: [] }),
      JSON.stringify({ ...settings, input_types: ["Bool"] }),
    ]) {
      const made = { ...files, settings: utf8(text) };
      expect(
        await computation({ evidence: evidenceOf(made, proof), reference: referenceOf(made), engine: NOT_ASKED }),
      ).toEqual(unsupported("ezkl_settings_unsupported"));
    }
    const names = { ...referenceOf(files), inputs: ["features", "more"] };
    expect(await computation({ reference: names, engine: NOT_ASKED })).toEqual(
      unsupported("ezkl_settings_unsupported"),
    );
  });
});

const checkOf = (made: EzklFiles, one: Uint8Array): EzklCheck => ({ ...made, proof: one });

describe("a malformed proof file", () => {
  test("of any kind is a failure with a code", async () => {
    const genuineText = fromUtf8(proof);
    const whole = readProof();
    const texts = fc.oneof(
      fc.string(),
      fc.json(),
      fc.nat(genuineText.length - 1).map((at) => genuineText.slice(0, at)),
      fc
        .constantFrom("instances", "proof", "transcript_type")
        .chain((name) => fc.jsonValue().map((value) => JSON.stringify({ ...whole, [name]: value }))),
      fc.constant("[".repeat(500_000)),
      fc.constant(`{"instances":[["${"ff".repeat(32)}"]],"proof":[1],"transcript_type":"EVM"}`),
      fc.constant(JSON.stringify({ ...whole, transcript_type: "Poseidon" })),
    );
    await fc.assert(
      fc.asyncProperty(texts, async (text) => {
        const { status, code } = await computation({ evidence: evidenceOf(files, utf8(text)), engine: NOT_ASKED });
        expect([status, code]).toEqual(["fail", expect.stringMatching(/^proof_(?:malformed|of_another_request)$/)]);
      }),
      { numRuns: 200 },
    );
  });

  test("gets to the engine as what was compared and nothing else, however often it names a field", async () => {
    const whole = readProof();
    const seen: EzklCheck[] = [];
    const engine: EzklEngine = async (check) => {
      seen.push(check);
      return engineHere(check);
    };
    const [numbers = []] = whole.instances;
    const others = JSON.stringify([numbers.with(0, "00".repeat(32))]);
    const text = `{"instances":${others},${JSON.stringify(whole).slice(1)}`;
    expect(await computation({ evidence: evidenceOf(files, utf8(text)), engine })).toEqual(PASSED);
    const pretty = withProof({ pretty_public_inputs: { rescaled_inputs: [["9"]] } });
    expect(await computation({ evidence: pretty, engine })).toEqual(PASSED);
    for (const { proof: given, srs } of seen) {
      expect(Object.keys(JSON.parse(fromUtf8(given)) as object)).toEqual(["instances", "proof", "transcript_type"]);
      // [s]G2 alone: no power of it from anywhere.
      expect(srs).toHaveLength(4 + 2 * 64 + 2 * 128);
    }
    expect(toHex(sha256(seen[0]!.proof))).toBe(toHex(sha256(seen[1]!.proof)));
  });
});
