import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromUtf8, sha256, toHex, utf8 } from "../../src/evidence/bytes.ts";
import type { EzklCheck, EzklEngine } from "../../src/verify/types.ts";
import { CIRCUIT, INPUT } from "../support/ezkl-purchase.ts";
import { cases } from "../support/campaign.ts";
import { engineHere, evidenceOf, prove, referenceOf, setUp, type EzklFiles } from "../support/ezkl.ts";
import type { Circuit } from "../support/ezkl-circuit.ts";
import {
  computation,
  failed,
  files,
  fixture,
  NOT_ASKED,
  PASSED,
  proof,
  readProof,
  skipped,
  unsupported,
  withProof,
} from "./ezkl-proof.ts";

const withVisibility = (visibility: Partial<Circuit["visibility"]>): Circuit => ({
  ...CIRCUIT,
  visibility: { ...CIRCUIT.visibility, ...visibility },
});

const checkOf = (made: EzklFiles, one: Uint8Array): EzklCheck => ({ ...made, proof: one });

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
    expect(await engineHere(checkOf(made, one))).toBe("valid");
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
    for (const { proof: each } of proofs) expect(await engineHere(checkOf(one, each))).toBe("valid");
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
      { numRuns: cases(50, 2000, 200) },
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
