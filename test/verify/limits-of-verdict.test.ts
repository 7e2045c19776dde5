import { describe, expect, test } from "vitest";
import { LAYERS, type Layer, type LayerResult } from "../../src/receipts/schema.ts";
import { notProven, type LimitsOfVerdict } from "../../src/verify/not-proven.ts";
import { unknownKinds, unusedEvidence, type Used } from "../../src/verify/unused.ts";
import { createReceipt } from "../../src/receipts/receipt.ts";
import { receiptCore } from "../support/receipt-core.ts";

const layersOf = (status: LayerResult["status"], changes: Partial<Record<Layer, LayerResult["status"]>> = {}) =>
  Object.fromEntries(
    LAYERS.map((layer) => [layer, { status: changes[layer] ?? status, code: "ok", note: "" }]),
  ) as Record<Layer, LayerResult>;

const NO_LIMITS: LimitsOfVerdict = {
  known: true,
  simulated: false,
  metered: false,
  shared: false,
  unboundTerms: false,
  agreement: "shown",
  developmentProof: false,
  secretWeights: false,
  unboundProof: false,
  unknownKinds: [],
  unused: [],
  leftOut: [],
  signed: true,
  leavesOut: null,
  carried: "both",
  decodedFrom: null,
  tls: null,
  rivals: null,
  registered: false,
};
const RIVALS = { others: [], own: null, contestedBy: null, isOwn: false };
/** What is said in any case: of clocks, and of what an answer is worth. */
const ALWAYS = [/^Times are the buyer's and the seller's clocks/, /^That the model's answer is right or good/];
const CHAIN = [/^Settlement is as one node of the chain reported it/, /^Inclusion is as one node of the chain/];
const said = (limits: Partial<LimitsOfVerdict>, layers = layersOf("pass")): string[] =>
  notProven(layers, { ...NO_LIMITS, ...limits });
const matching = (patterns: readonly RegExp[]): unknown[] =>
  patterns.map((one) => expect.stringMatching(one) as unknown);

describe("what is not proven", () => {
  test("is, where all layers passed and nothing limits them, what nobody could prove", () => {
    expect(said({})).toEqual(matching([...CHAIN, ...ALWAYS]));
    expect(said({ rivals: RIVALS })).toEqual(said({}));
  });

  test.each<[Partial<LimitsOfVerdict>, RegExp]>([
    [{ known: false }, /^No policy: /],
    [{ simulated: true }, /^Simulated: /],
    [{ developmentProof: true }, /^Development setup: /],
    [{ secretWeights: true }, /^That the proved weights are those of the named model file: they are secret/],
    [{ unboundProof: true }, /^That the proof was made for this purchase: /],
    [{ unboundTerms: true }, /^That the payment's terms are these: format 1/],
    [{ agreement: "missing" }, /^That the payer agreed to these terms: its signature is not in the file\. /],
    [{ agreement: "wrong" }, /^That the payer agreed to these terms: the signature in the file is not the payer's/],
    [{ agreement: "nameless" }, /^That the payer agreed to these terms: the signature .* names no payer/],
    [{ metered: true }, /^That the amount charged fits the work: /],
    [{ leftOut: ["request"] }, /^That the request, .* has the SHA-256 in the file: only its Keccak-256 was signed/],
    [{ leftOut: ["response"], signed: false }, /^That the response, .* has the hashes in the file: no signature/],
    [{ unused: ["zk.ezkl", "zk.ezkl", "zk.groth16"] }, /^Not used: .* \(zk\.ezkl, zk\.groth16\)\.$/],
    [{ leavesOut: "no usage" }, /^Anything that the seller's signature does not cover: no usage\.$/],
    [{ carried: "request" }, /^That the answer repeats the payment's hash: .* The request carries it/],
    [{ carried: "neither" }, /^That the payment was for this exchange: neither part carries/],
    [{ decodedFrom: "gzip" }, /^That the answer came as these bytes: it came in the content coding gzip/],
    [{ tls: "The connection had no TLS." }, /^That the connection ended in the enclave\. The connection had no TLS\.$/],
    [{ unknownKinds: ["note.any", "note.any"] }, /^Not judged: .* know \(note\.any\)\.$/],
    [{ unknownKinds: ["Buy gold now!"] }, /^Not judged: .* does not know\.$/],
    [{ rivals: { ...RIVALS, others: ["a"] } }, /^That this is the receipt .*: others that are stored here .* \(a\)\.$/],
    [{ rivals: { ...RIVALS, others: ["a", "b", "c"] } }, / \(a, b, c\)\.$/],
    [{ rivals: { ...RIVALS, others: ["a", "b", "c", "d", "e"] } }, / \(a, b, c and 2 more\)\.$/],
    [{ rivals: { ...RIVALS, others: ["a"], own: "b" } }, /^That this is the receipt .*: this buyer's own is b\.$/],
    [{ rivals: { ...RIVALS, others: ["a"], own: "b", isOwn: true } }, /^Anything of the other .* \(a\): this one is/],
  ])("says what limits it: %j", (limits, words) => {
    const sentences = said(limits);
    expect(sentences).toHaveLength(CHAIN.length + ALWAYS.length + 1);
    expect(sentences).toContainEqual(expect.stringMatching(words));
  });

  test("names eight unknown kinds at most", () => {
    const kinds = Array.from({ length: 9 }, (_, at) => `kind.n${at}`);
    const text = said({ unknownKinds: kinds }).join();
    expect(text).toContain("kind.n7");
    expect(text).not.toContain("kind.n8");
  });

  test.each(LAYERS)("names %s where it did not pass, and says so where only the file tells it", (layer) => {
    for (const status of ["fail", "skip", "pending", "unsupported"] as const)
      expect(said({}, layersOf("pass", { [layer]: status })).join("\n")).toMatch(/^Not shown: /m);
    const told = said({}, layersOf("pass", { [layer]: "reported" }));
    expect(told.filter((one) => one.startsWith("Not shown, only told by the file: "))).toHaveLength(1);
    expect(said({}).join()).not.toContain("Not shown");
    const onChain = layer === "settlement" || layer === "inclusion" ? 1 : 0;
    expect(told.filter((one) => one.includes("as one node of the chain reported it"))).toHaveLength(2 - onChain);
  });
});

describe("a piece of evidence is used", () => {
  const USED: Used = { layers: layersOf("pass"), attested: true, signer: true, computations: {} };
  const unused = (kinds: readonly string[], used: Partial<Used>, later: readonly string[] = []): string[] => {
    const evidence = kinds.map((kind) => ({ kind }));
    const receipt = createReceipt(receiptCore("one", { evidence: [] }));
    return unusedEvidence(
      {
        ...receipt,
        core: { ...receipt.core, evidence },
        later: later.map((kind) => ({
          at: receipt.core.response.receivedAt,
          evidence: { kind },
        })),
      },
      { ...USED, ...used },
    );
  };

  test.each<[string, Partial<Used>, boolean]>([
    ["model.manifest", {}, true],
    ["model.manifest", { attested: false }, false],
    ["signature.tee", {}, true],
    ["signature.tee", { signer: false }, false],
    ["signature.tee", { signer: false, layers: layersOf("pass", { response: "fail" }) }, true],
    ["inclusion.merkle", {}, true],
    ["inclusion.merkle", { layers: layersOf("pass", { inclusion: "skip" }) }, false],
    ["settlement.x402", { attested: false, signer: false }, true],
    ["tee.nitro", { attested: false }, true],
    ["contradiction", {}, true],
    ["of.tomorrow", {}, true],
  ])("%s, where %j: %s", (kind, used, expected) => {
    expect(unused([kind], used)).toEqual(expected ? [] : [kind]);
  });

  test("of several computations the one that decided the layer", () => {
    const layers = layersOf("pass");
    const pieces = ["zk.groth16", "zk.ezkl", "replay.onnx"];
    const computations = {
      "zk.groth16": layers.computation,
      "zk.ezkl": { ...layers.computation },
      "replay.onnx": null,
    };
    expect(unused(pieces, { layers, computations })).toEqual(["zk.ezkl", "replay.onnx"]);
    const skipped = layersOf("skip");
    expect(unused(["zk.groth16"], { layers: skipped, computations: { "zk.groth16": skipped.computation } })).toEqual([
      "zk.groth16",
    ]);
  });

  test("after delivery only where that is its place", () => {
    for (const used of [{}, { attested: false, signer: false }])
      expect(unused([], used, ["tee.nitro", "signature.tee", "settlement.x402", "model.manifest"])).toEqual([
        "tee.nitro after delivery",
        "signature.tee after delivery",
        "model.manifest after delivery",
      ]);
    expect(unused([], { computations: {} }, ["replay.onnx"])).toEqual(["replay.onnx"]);
  });

  test("or of a kind that this version does not know", () => {
    const receipt = createReceipt(receiptCore());
    expect(unknownKinds(receipt)).toEqual(["zk.of-tomorrow"]);
  });
});
