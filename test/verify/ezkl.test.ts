import { describe, expect, test } from "vitest";
import { fromBase64, toBase64 } from "../../src/evidence/bytes.ts";
import { BN254_R } from "../../src/evidence/groth16.ts";
import { parseReceipt, receiptId, serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import type { EzklReference } from "../../src/verify/policy.ts";
import { cases, isBrief } from "../support/campaign.ts";
import { CIRCUIT, fixtureOf, INPUT, receiptWith } from "../support/ezkl-purchase.ts";
import { engineHere, evidenceOf, referenceOf, setUp, sG2Of, SECRET } from "../support/ezkl.ts";
import {
  computation,
  failed,
  files,
  fixture,
  genuine,
  judge,
  NOT_ASKED,
  outputs,
  PASSED,
  policyWith,
  proof,
  readProof,
  skipped,
  withProof,
} from "./ezkl-proof.ts";

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
  test("with a bit turned in any word of it", async () => {
    const bytes = readProof().proof;
    const words = bytes.length / 32;
    expect(words).toBeGreaterThan(60);
    const places = Array.from(
      { length: cases(words, 360, 360) },
      (_, k) => 32 * (k % words) + ((13 * Math.floor(k / words) + (k % words)) % 32),
    );
    expect(new Set(places.map((place) => Math.floor(place / 32))).size).toBe(words);
    // In a test run each third word.
    for (const place of places.filter((_, k) => !isBrief || k % 3 === 0)) {
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
