import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { fromBase64, fromHex0x, toBase64, toHex0x, type Hex } from "../../src/evidence/bytes.ts";
import { buildInclusionTree, leafHash } from "../../src/evidence/inclusion.ts";
import { createReceipt, parseReceipt, redactReceipt, serializeReceipt } from "../../src/receipts/receipt.ts";
import { receiptSchema, type InclusionEvidence, type LayerResult, type Receipt } from "../../src/receipts/schema.ts";
import { appraise } from "../../src/verify/appraise.ts";
import { inclusionLeafOf, judgeInclusion } from "../../src/verify/layers/inclusion.ts";
import type { AppraisalPolicy } from "../../src/verify/policy.ts";
import { createVerificationCache } from "../../src/verify/verification-cache.ts";
import { pass, skip } from "../../src/verify/types.ts";
import { inclusionOf, makeIncluded, neighbours, settlementLog, withLater, withRelay } from "../support/inclusion.ts";

let included: Awaited<ReturnType<typeof makeIncluded>>;
const session = createVerificationCache();
beforeAll(async () => {
  included = await makeIncluded();
});

/** Judged by the buyer that saw all of it itself. */
const seen = ({ later }: Receipt) => later.map(({ evidence }) => evidence);
const judge = (receipt: Receipt, policy: AppraisalPolicy = included.policy) =>
  appraise({ receipt, policy, own: seen(receipt), now: new Date(), evaluateAt: included.evaluateAt }, session);
const layerOf = async (receipt: Receipt, policy?: AppraisalPolicy): Promise<LayerResult> =>
  (await judge(receipt, policy)).layers.inclusion;
/** The layer for the same answer with its evidence changed. */
const changed = (change: Partial<InclusionEvidence>): Promise<LayerResult> =>
  layerOf(withLater(included.bare, { ...included.evidence, ...change }));

describe("an anchored answer", () => {
  test.each([1, 2, 3, 8, 33])(
    "passes in a batch of %i, and a required inclusion verifies the receipt",
    async (size) => {
      const evidence = inclusionOf(inclusionLeafOf(included.bare)!, neighbours(size - 1));
      const receipt = withLater(included.bare, evidence);
      const read = parseReceipt(serializeReceipt(receipt));
      expect(read.ok).toBe(true);
      const { layers, verdict, notProven } = await judge(receipt);
      expect(layers.inclusion).toMatchObject({ status: "pass", code: "ok" });
      expect(verdict).toBe("verified");
      expect(notProven.join(" ")).toContain("Inclusion is as one node of the chain reported it");
    },
  );

  test("passes with the bodies redacted: the signature covers their hashes", async () => {
    expect(await layerOf(redactReceipt(included.receipt, { request: true, response: true }))).toMatchObject({
      status: "pass",
    });
  });

  test("is pending before its evidence comes, and the receipt with it where inclusion is required", async () => {
    const { layers, verdict } = await judge(included.bare);
    expect(layers.inclusion).toMatchObject({ status: "pending", code: "no_evidence" });
    expect(verdict).toBe("pending");
  });

  test("is skipped where the policy pins no relay, with and without evidence, and never passes by the evidence's own word", async () => {
    const policy = withRelay(included.policy, []);
    expect(await layerOf(included.bare, policy)).toMatchObject({ status: "skip", code: "no_evidence" });
    expect(await layerOf(included.receipt, policy)).toMatchObject({ status: "skip", code: "relay_not_pinned" });
    expect((await judge(included.receipt, policy)).verdict).toBe("unverified");
  });

  test("is judged like that also of a seller that the policy does not know", () => {
    const policy = { ...included.policy, sellers: {} };
    const [exchange, own] = [{ request: pass("signed"), response: pass("signed") }, () => true];
    expect(judgeInclusion(included.bare, exchange, policy, own)).toMatchObject({ status: "skip", code: "no_evidence" });
    expect(judgeInclusion(included.receipt, exchange, policy, own).code).toBe("relay_not_pinned");
  });

  test.each(["request", "response"] as const)("needs the %s to be signed", (part) => {
    const exchange = { request: pass("signed"), response: pass("signed"), [part]: skip("not_signed", "Not signed.") };
    expect(judgeInclusion(included.receipt, exchange, included.policy, () => true).code).toBe("signature_not_verified");
  });

  test("is reported where nobody here read the chain", () => {
    const exchange = { request: pass("signed"), response: pass("signed") };
    const judged = judgeInclusion(included.receipt, exchange, included.policy, () => false);
    expect(judged).toMatchObject({ status: "reported", code: "inclusion_reported" });
  });

  test("passes at any of the relays that the policy pins", async () => {
    const { network, log } = included.evidence;
    const others = [
      { network, contract: `0x${"ab".repeat(20)}` as const },
      { network, contract: log.address },
    ];
    expect(await layerOf(included.receipt, withRelay(included.policy, others))).toMatchObject({ status: "pass" });
  });

  test("was signed before its root, give or take what clocks may differ", async () => {
    const earliest = included.evidence.leaf.timestamp - included.policy.clockSkewSeconds;
    expect(await changed({ blockTime: earliest })).toMatchObject({ status: "pass" });
    expect(await changed({ blockTime: earliest - 1 })).toMatchObject({ status: "fail", code: "anchored_too_early" });
  });

  test("is skipped where nothing was signed", async () => {
    const { core, later } = included.bare;
    const evidence = core.evidence.filter((item) => item.kind !== "signature.tee");
    const unsigned = { ...createReceipt({ ...core, evidence }), later };
    expect(await layerOf(unsigned)).toMatchObject({ status: "skip", code: "not_signed" });
    expect(await layerOf(withLater(unsigned, included.evidence))).toMatchObject({
      status: "fail",
      code: "leaf_not_signed",
    });
  });

  test("does not pass on a signature that nobody verified", async () => {
    const { core, later } = included.bare;
    const evidence = core.evidence.map((item) =>
      item.kind === "signature.tee" && "signature" in item
        ? {
            ...item,
            signature: toBase64(fromBase64(item.signature as string).map((byte, at) => (at === 9 ? byte ^ 1 : byte))),
          }
        : item,
    );
    const forged = { ...createReceipt({ ...core, evidence }), later };
    const anchored = withLater(forged, inclusionOf(inclusionLeafOf(forged)!, neighbours(3)));
    expect(await layerOf(anchored)).toMatchObject({ status: "skip", code: "signature_not_verified" });
  });
});

describe("is not an anchored answer:", () => {
  test.each(["teeId", "inputHash", "outputHash", "signature"] as const)("a leaf with another %s", async (field) => {
    const leaf = { ...included.evidence.leaf, [field]: `0x${"5e".repeat(field === "signature" ? 256 : 32)}` };
    const whole = inclusionOf(leaf, neighbours(5));
    expect(await layerOf(withLater(included.bare, whole))).toMatchObject({ status: "fail", code: "leaf_mismatch" });
    // The same lie with our leaf's values and the other leaf's path.
    expect(await changed({ ...whole, leaf: included.evidence.leaf })).toMatchObject({
      status: "fail",
      code: "root_mismatch",
    });
  });

  test("a leaf of another time", async () => {
    const leaf = { ...included.evidence.leaf, timestamp: included.evidence.leaf.timestamp + 1 };
    expect(await changed({ leaf })).toMatchObject({ status: "fail", code: "leaf_mismatch" });
  });

  test("somebody else's leaf, though it is in a real batch", async () => {
    const [other, ...rest] = neighbours(5);
    expect(await changed(inclusionOf(other!, rest))).toMatchObject({ status: "fail", code: "leaf_mismatch" });
  });

  test("a root that the path does not lead to, or that the event does not carry", async () => {
    const root = buildInclusionTree(neighbours(6)).root;
    expect(await changed({ root })).toMatchObject({ status: "fail", code: "root_mismatch" });
    expect(await changed({ root, log: settlementLog(root, 6) })).toMatchObject({
      status: "fail",
      code: "root_mismatch",
    });
    expect(await changed({ log: settlementLog(root, 6) })).toMatchObject({
      status: "fail",
      code: "anchored_root_mismatch",
    });
  });

  test("an event of another contract, on another chain, or no such event", async () => {
    const elsewhere = settlementLog(included.evidence.root, 6, `0x${"a7".repeat(20)}`);
    expect(await changed({ log: elsewhere })).toMatchObject({ status: "fail", code: "contract_mismatch" });
    expect(await changed({ network: "eip155:8453" })).toMatchObject({ status: "fail", code: "network_mismatch" });
    const { log } = included.evidence;
    expect(await changed({ log: { ...log, topics: [log.topics[1]!, log.topics[0]!] } })).toMatchObject({
      code: "event_invalid",
    });
    expect(await changed({ log: { ...log, data: "0x" } })).toMatchObject({ status: "fail", code: "event_invalid" });
  });

  test("the relay of another chain at the same address", async () => {
    const { contract } = included.policy.sellers["fixture"]!.relays[0]!;
    const relays = [
      { network: "eip155:8453", contract },
      { network: "eip155:31337", contract: `0x${"99".repeat(20)}` as const },
    ];
    expect(await layerOf(included.receipt, withRelay(included.policy, relays))).toMatchObject({
      code: "contract_mismatch",
    });
  });

  test("another seller's relay", async () => {
    const policy = withRelay(included.policy, []);
    const sellers = { ...policy.sellers, other: included.policy.sellers["fixture"]! };
    expect(await layerOf(included.receipt, { ...policy, sellers })).toMatchObject({
      status: "skip",
      code: "relay_not_pinned",
    });
  });

  test("a batch of another size than the event says", async () => {
    const { root } = included.evidence;
    expect(await changed({ count: 7 })).toMatchObject({ status: "fail", code: "count_mismatch" });
    expect(await changed({ log: settlementLog(root, 5) })).toMatchObject({ status: "fail", code: "count_mismatch" });
    expect(await changed({ count: 600, log: settlementLog(root, 600) })).toMatchObject({ code: "path_invalid" });
  });

  test("an inner node given as a leaf, and a path cut short or made longer", async () => {
    const { path, leaf } = included.evidence;
    expect(await changed({ path: path.slice(0, -1) })).toMatchObject({ status: "fail" });
    expect(await changed({ path: path.slice(1), count: 3 })).toMatchObject({ status: "fail", code: "root_mismatch" });
    expect(await changed({ path: [...path, path[0]!] })).toMatchObject({ status: "fail" });
    // The inner node above our leaf, laid out as a signature that hashes like two nodes: hashed twice, it is another.
    const pair: Hex = `0x${[toHex0x(leafHash(leaf)).slice(2), path[0]!.slice(2)].toSorted().join("")}`;
    expect(await changed({ leaf: { ...leaf, signature: pair }, path: path.slice(1) })).toMatchObject({
      code: "leaf_mismatch",
    });
  });

  test("a leaf that is its own sibling", async () => {
    const { leaf } = included.evidence;
    expect(await changed(inclusionOf(leaf, [leaf]))).toMatchObject({ status: "fail", code: "path_invalid" });
  });

  test("a root older than the answer", async () => {
    const blockTime = included.evidence.leaf.timestamp - included.policy.clockSkewSeconds - 1;
    expect(await changed({ blockTime })).toMatchObject({ status: "fail", code: "anchored_too_early" });
  });

  test("one that is given twice", async () => {
    const twice = withLater(included.receipt, { ...included.evidence, transaction: `0x${"11".repeat(32)}` });
    expect(await layerOf(twice)).toMatchObject({ status: "fail", code: "ambiguous_evidence" });
  });

  test("any contradiction condemns the receipt also where inclusion is not required", async () => {
    const { requiredLayers: _none, ...policy } = included.policy;
    const receipt = withLater(included.bare, { ...included.evidence, count: 7 });
    expect((await judge(receipt, policy)).verdict).toBe("failed");
    expect((await judge(included.bare, policy)).verdict).toBe("verified");
  });
});

test("no changed byte of the evidence passes, but where and when the buyer saw the event", async () => {
  const { evidence } = included;
  const hexes: [string, string, (text: Hex) => Partial<InclusionEvidence>][] = [
    ...(["teeId", "inputHash", "outputHash", "signature"] as const).map(
      (field): [string, string, (text: Hex) => Partial<InclusionEvidence>] => [
        field,
        evidence.leaf[field],
        (text) => ({ leaf: { ...evidence.leaf, [field]: text } }),
      ],
    ),
    ...evidence.path.map((node, at): [string, string, (text: Hex) => Partial<InclusionEvidence>] => [
      `path ${at}`,
      node,
      (text) => ({ path: evidence.path.with(at, text) }),
    ]),
    ["root", evidence.root, (root) => ({ root })],
    ["address", evidence.log.address, (address) => ({ log: { ...evidence.log, address } })],
    ["topic", evidence.log.topics[0]!, (t) => ({ log: { ...evidence.log, topics: [t, evidence.log.topics[1]!] } })],
    [
      "topic of the root",
      evidence.log.topics[1]!,
      (t) => ({ log: { ...evidence.log, topics: [evidence.log.topics[0]!, t] } }),
    ],
    ["data", evidence.log.data, (data) => ({ log: { ...evidence.log, data } })],
  ];
  const passed: string[] = [];
  let flips = 0;
  for (const [name, text, change] of hexes) {
    const bytes = fromHex0x(text);
    for (const index of bytes.keys()) {
      const flipped = toHex0x(bytes.map((byte, at) => (at === index ? byte ^ (1 << (index % 8)) : byte)));
      flips += 1;
      if ((await changed(change(flipped))).status !== "fail") passed.push(`${name} ${index}`);
    }
  }
  expect(flips).toBeGreaterThan(500);
  expect(passed).toEqual([]);
  for (const count of [1, 2, 5, 7, 8, 1_000_000]) expect(await changed({ count })).toMatchObject({ status: "fail" });
});

test("whatever stands in well-formed evidence is judged and never thrown, and does not pass", async () => {
  const hex = (bytes: number) => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((b) => toHex0x(b));
  const arbitrary = fc.record({
    path: fc.array(hex(32), { maxLength: 32 }),
    root: hex(32),
    count: fc.integer({ min: 1, max: 1_000_000 }),
    log: fc.record({
      address: hex(20),
      topics: fc.array(hex(32), { maxLength: 4 }),
      data: fc.uint8Array({ maxLength: 200 }).map((b) => toHex0x(b)),
      logIndex: fc.nat(),
    }),
  });
  await fc.assert(
    fc.asyncProperty(arbitrary, async (change) => {
      const receipt = withLater(included.bare, { ...included.evidence, ...change });
      expect(receiptSchema.safeParse(receipt).success).toBe(true);
      expect((await layerOf(receipt)).status).toBe("fail");
    }),
    { numRuns: 100 },
  );
});
