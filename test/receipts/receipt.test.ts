import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import { sha256, toBase32, toHex, utf8 } from "../../src/evidence/bytes.ts";
import { canonicalJson } from "../../src/evidence/canonical.ts";
import {
  bareCore,
  createReceipt,
  parseReceipt,
  receiptId,
  redactReceipt,
  serializeReceipt,
} from "../../src/receipts/receipt.ts";
import type { Receipt, ReceiptCore } from "../../src/receipts/schema.ts";
import { appraisal, hashed, receiptCore, settlement } from "../support/receipt-core.ts";
import { leaves, otherThan, reorder, replaceAt } from "./json-edits.ts";

const core = receiptCore();
const receipt = createReceipt(core);
const full: Receipt = {
  ...receipt,
  later: [{ at: "2026-11-01T12:01:00.000Z", evidence: settlement() }],
  appraisals: [appraisal(), appraisal({ verdict: "pending" })],
  log: { seq: 1, prev: "0".repeat(64), hash: "1".repeat(64) },
};
const reread = (value: Receipt): Receipt => {
  const parsed = parseReceipt(serializeReceipt(value));
  if (!parsed.ok) throw new Error(parsed.message);
  return parsed.receipt;
};

describe("the id", () => {
  it("is p402_ and the base32 of the core's canonical hash, bodies left out", () => {
    const { body: _a, ...request } = core.request;
    const { body: _b, ...response } = core.response;
    const expected = toBase32(sha256(canonicalJson({ ...core, request, response })));
    expect(receiptId(core)).toBe(`p402_${expected}`);
    expect(receipt.id).toMatch(/^p402_[a-z2-7]{52}$/);
    expect(receipt.id).toBe(receiptId(core));
  });

  it("does not depend on the order of keys", () => {
    fc.assert(
      fc.property(fc.func(fc.nat()), (rank) => {
        expect(receiptId(reorder(core, rank) as ReceiptCore)).toBe(receipt.id);
      }),
    );
  });

  it("stays when bodies are left out, and the hashes that name them stay too", () => {
    for (const parts of [{ request: true }, { response: true }, { request: true, response: true }]) {
      const redacted = redactReceipt(full, parts);
      expect(receiptId(redacted.core)).toBe(receipt.id);
      expect(redacted.core.request.body).toBe("request" in parts ? undefined : core.request.body);
      expect(redacted.core.response.body).toBe("response" in parts ? undefined : core.response.body);
      expect([redacted.core.request.sha256, redacted.core.response.keccak256]).toEqual([
        core.request.sha256,
        core.response.keccak256,
      ]);
      expect(reread(redacted)).toEqual(redacted);
    }
    expect(redactReceipt(full, {})).toEqual(full);
  });

  it.each(leaves(bareCore(core)).map((path) => [path.join("."), path] as const))("changes with %s", (_, path) => {
    expect(receiptId(replaceAt(core, path, otherThan) as ReceiptCore)).not.toBe(receipt.id);
  });

  it("differs between any two cores that differ", () => {
    const paths = leaves(bareCore(core));
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue(), (path, value) => {
        let old: unknown;
        const changed = replaceAt(core, path, (before) => ((old = before), value)) as ReceiptCore;
        const same = JSON.stringify(canonicalOf(old)) === JSON.stringify(canonicalOf(value));
        expect(receiptId(changed) === receipt.id).toBe(same);
      }),
    );
  });
});

const canonicalOf = (value: unknown): number[] => [...canonicalJson(value ?? null)];

describe("making a receipt", () => {
  it("starts without later evidence, appraisals and place in the log", () => {
    expect(receipt).toEqual({
      type: "proof402/receipt",
      version: 1,
      id: receiptId(core),
      core,
      later: [],
      appraisals: [],
      log: null,
    });
  });

  it.each([
    ["an amount with a leading zero", ["payment", "amount"], "070000"],
    ["a fractional amount", ["offer", "amount"], "0.07"],
    ["an address in mixed case", ["payment", "payTo"], `0x${"Ab".repeat(20)}`],
    ["a time without milliseconds", ["request", "sentAt"], "2026-11-01T12:00:00Z"],
    ["a day that is not", ["request", "sentAt"], "2026-02-30T12:00:00.000Z"],
    ["a network that is not EVM", ["payment", "network"], "solana:mainnet"],
    ["known evidence of another shape", ["evidence", 0, "signature"], 7],
    ["a number without a JSON form", ["evidence", 1, "proof"], Number.POSITIVE_INFINITY],
    ["a text without a UTF-8 form", ["evidence", 1, "proof"], "\ud800"],
  ] as const)("refuses %s", (_, path, value) => {
    expect(() => createReceipt(replaceAt(core, path, () => value) as ReceiptCore)).toThrow(z.ZodError);
  });

  it("leaves out bodies that no file has room for, keeps their hashes, and can be read back", () => {
    const large = hashed(new Uint8Array(5_400_000));
    const small = hashed(utf8("small"));
    const withBodies = (request: typeof small, response: typeof small): ReceiptCore => ({
      ...core,
      request: { ...core.request, ...request },
      response: { ...core.response, ...response },
    });
    const one = createReceipt(withBodies(small, large));
    expect([one.core.request.body, one.core.response.body]).toEqual([small.body, undefined]);
    expect(one.core.response.sha256).toBe(large.sha256);
    expect(reread(one)).toEqual(one);
    const both = createReceipt(withBodies(large, large));
    expect([both.core.request.body, both.core.response.body]).toEqual([undefined, undefined]);
    expect(reread(both)).toEqual(both);
  });

  it("T72: leaves out bodies that no file has room for beside the evidence", () => {
    const manifest = Buffer.alloc(1_000_000, 66).toString("base64");
    const made = createReceipt({
      ...core,
      response: { ...core.response, ...hashed(new Uint8Array(5_200_000).fill(65)) },
      evidence: [{ kind: "model.manifest", manifest }],
    });
    expect([made.core.request.body, made.core.response.body]).toEqual([core.request.body, undefined]);
    expect(reread(made)).toEqual(made);
  });

  it("keeps the largest answer that the default limits let through", () => {
    const made = createReceipt({
      ...core,
      response: { ...core.response, ...hashed(new Uint8Array(4_000_000).fill(255)) },
    });
    expect(made.core.response.body).toHaveLength(5_333_336);
    expect(reread(made)).toEqual(made);
  });
});

describe("the file", () => {
  it("reads back as it was written", () => {
    expect(reread(full)).toEqual(full);
    expect(reread(receipt)).toEqual(receipt);
  });

  it("is the same bytes for equal receipts, whatever order their keys came in", () => {
    const bytes = serializeReceipt(full);
    fc.assert(
      fc.property(fc.func(fc.nat()), (rank) => {
        const shuffled = reorder(JSON.parse(Buffer.from(bytes).toString()), rank);
        const parsed = parseReceipt(JSON.stringify(shuffled));
        expect(parsed.ok && toHex(serializeReceipt(parsed.receipt)) === toHex(bytes)).toBe(true);
        expect(toHex(serializeReceipt(shuffled as Receipt))).toBe(toHex(bytes));
      }),
    );
  });

  it("is readable text: indented, type and version first, a newline at the end", () => {
    const text = Buffer.from(serializeReceipt(full)).toString();
    expect(
      text.startsWith(`{\n  "type": "proof402/receipt",\n  "version": 1,\n  "id": "${full.id}",\n  "core": {\n`),
    ).toBe(true);
    expect(text.endsWith("}\n")).toBe(true);
  });

  it("carries any opaque evidence and any offer extras unchanged", () => {
    const opaque = fc.jsonValue({ maxDepth: 8 }).filter((value) => !JSON.stringify(value).includes("__proto__"));
    fc.assert(
      fc.property(opaque, opaque, (a, b) => {
        // What a file says: a negative zero is written as 0.
        const [proof, extra] = JSON.parse(JSON.stringify([a, b])) as [unknown, unknown];
        const made = createReceipt({
          ...core,
          offer: { ...core.offer, extra: { extra } },
          evidence: [{ kind: "zk.any", proof }],
        });
        expect(reread(made)).toEqual(made);
      }),
    );
  });
});
