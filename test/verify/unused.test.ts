import { beforeAll, describe, expect, test } from "vitest";
import { createReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import type { Evidence, Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { readFacts } from "../../src/verify/facts.ts";
import { makeFixture, type Fixture } from "../support/fixture-receipt.ts";

let fixture: Fixture;
beforeAll(async () => {
  fixture = await makeFixture();
});

const judge = (receipt: Receipt) =>
  appraise({ receipt, policy: fixture.policy, now: fixture.evaluateAt, evaluateAt: fixture.evaluateAt });
const notProvenOf = async (receipt: Receipt): Promise<string> => (await judge(receipt)).notProven.join("\n");
const withLater = (...evidence: Evidence[]): Receipt => {
  const at = fixture.receipt.core.response.receivedAt;
  return { ...fixture.receipt, later: [...fixture.receipt.later, ...evidence.map((one) => ({ at, evidence: one }))] };
};
const ofKind = (kind: string): Evidence => fixture.receipt.core.evidence.find((one) => one.kind === kind)!;
const replay: Evidence = {
  kind: "replay.onnx",
  modelSha256: "5a".repeat(32),
  runtime: { name: "onnxruntime-node", version: "1" },
  outputs: [{ name: "class", datatype: "INT64", shape: [1], data: [1] }],
};

describe("evidence that no layer used is named", () => {
  test("and none is where all of it counted", async () => {
    expect(await notProvenOf(fixture.receipt)).not.toContain("Not used");
  });

  test.each(["tee.nitro", "model.manifest", "signature.tee"])("T75: %s that came after delivery", async (kind) => {
    const judged = await judge(withLater(ofKind(kind)));
    expect(judged.verdict).toBe("verified");
    expect(judged.notProven).toContain(`Not used: evidence that decided no layer (${kind} after delivery).`);
  });

  test.each(["tee.nitro", "model.manifest", "signature.tee"])(
    "%s stays unused where the core has none",
    async (kind) => {
      const evidence = fixture.receipt.core.evidence.filter((one) => one.kind !== kind);
      const { later } = withLater(ofKind(kind));
      const judged = await judge({ ...createReceipt({ ...fixture.receipt.core, evidence }), later });
      expect(judged.verdict).not.toBe("verified");
      expect(judged.notProven.join("\n")).toContain(`${kind} after delivery`);
    },
  );

  test("a manifest and a signature without an attestation", async () => {
    const evidence = fixture.receipt.core.evidence.filter(({ kind }) => kind !== "tee.nitro");
    const receipt = { ...createReceipt({ ...fixture.receipt.core, evidence }), later: fixture.receipt.later };
    expect(await notProvenOf(receipt)).toContain("(model.manifest, signature.tee)");
  });

  test("somebody else's re-execution, wherever it stands, and one that only a policy leaves aside", async () => {
    expect(await notProvenOf(withLater(replay))).toContain("(replay.onnx)");
    const core: ReceiptCore = { ...fixture.receipt.core, evidence: [...fixture.receipt.core.evidence, replay] };
    expect(await notProvenOf({ ...createReceipt(core), later: fixture.receipt.later })).toContain("(replay.onnx)");
  });

  test("and kinds that this version does not know, also of computations", async () => {
    const text = await notProvenOf(withLater({ kind: "zk.other" }, { kind: "note.any" }));
    expect(text).toContain("does not know (zk.other, note.any)");
  });
});

describe("bytes that are left out are named by the hash that was signed", () => {
  test.each(["request", "response"] as const)(
    "T76: of the %s the SHA-256 is the file's word, and said to be",
    async (part) => {
      const { core, later } = redactReceipt(fixture.receipt, { [part]: true });
      const forged = { ...createReceipt({ ...core, [part]: { ...core[part], sha256: "ab".repeat(32) } }), later };
      for (const receipt of [redactReceipt(fixture.receipt, { [part]: true }), forged]) {
        expect(await notProvenOf(receipt)).toContain(
          `That the ${part}, whose bytes are left out, has the SHA-256 in the file: only its Keccak-256 was signed.`,
        );
        const { hashes } = await readFacts(receipt);
        expect(hashes[part]).toEqual({ sha256: null, keccak256: core[part].keccak256, bytes: "left_out" });
      }
    },
  );

  test("where nothing was signed both hashes are the file's word", async () => {
    const evidence = fixture.receipt.core.evidence.filter(({ kind }) => kind !== "signature.tee");
    const receipt = createReceipt({ ...fixture.receipt.core, evidence });
    const text = await notProvenOf(redactReceipt(receipt, { request: true, response: true }));
    expect(text.match(/no signature covers them/g)).toHaveLength(2);
  });

  test("of bytes that are there both are said", async () => {
    expect(await notProvenOf(fixture.receipt)).not.toContain("left out");
    const { hashes } = await readFacts(fixture.receipt);
    expect(hashes.request.sha256).toBe(fixture.receipt.core.request.sha256);
  });
});
