import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { receiptJsonSchema } from "../../scripts/write-schema.ts";
import { createReceipt, redactReceipt } from "../../src/receipts/receipt.ts";
import { KNOWN_KINDS, receiptSchema, type Receipt, type ReceiptCore } from "../../src/receipts/schema.ts";
import { appraisal, boundCore, receiptCore, settlement } from "../support/receipt-core.ts";
import { leaves, replaceAt } from "./json-edits.ts";

type Validate = (value: unknown) => boolean;
type Ajv = new (options: { strict: boolean; validateFormats: boolean }) => { compile: (schema: unknown) => Validate };

// A validator of another maker than the schema's. It comes with the MCP SDK.
const sdk = createRequire(import.meta.resolve("@modelcontextprotocol/sdk/client/index.js"));
const { Ajv2020 } = sdk("ajv/dist/2020.js") as { Ajv2020: Ajv };

const textOf = (format: 1 | 2): string =>
  readFileSync(join(import.meta.dirname, `../../schema/receipt.v${format}.json`), "utf8");
const compiled = (format: 1 | 2): Validate =>
  new Ajv2020({ strict: false, validateFormats: false }).compile(JSON.parse(textOf(format)));

const AT = "2026-11-01T12:01:00.000Z";
const receiptOf = (core: ReceiptCore): Receipt => ({
  ...createReceipt(core),
  later: [{ at: AT, evidence: { ...settlement(), signature: `0x${"1b".repeat(65)}` } }],
  appraisals: [appraisal()],
  log: { seq: 1, prev: "0".repeat(64), hash: "1".repeat(64) },
});

describe.each([
  [1, receiptCore],
  [2, boundCore],
] as const)("schema/receipt.v%i.json", (format, coreOf) => {
  const [text, validate] = [textOf(format), compiled(format)];
  const receipt = receiptOf(coreOf());

  it("is what scripts/write-schema.ts writes", () => {
    expect(text, "stale: npm run generate:schema").toBe(receiptJsonSchema(format));
  });

  it("takes receipts of its own format and no other", () => {
    expect(receipt.version).toBe(format);
    const other = receiptOf(format === 1 ? boundCore() : receiptCore());
    expect([validate(other), validate({ ...other, version: format }), validate({ ...receipt, version: 3 })]).toEqual([
      false,
      false,
      false,
    ]);
    expect(receiptSchema.safeParse({ ...other, version: format }).success).toBe(false);
  });

  it("takes a receipt, whole and redacted", () => {
    expect(
      [receipt, redactReceipt(receipt, { request: true, response: true }), createReceipt(coreOf("two"))].map((one) =>
        validate(one),
      ),
    ).toEqual([true, true, true]);
  });

  it.each(leaves(receipt).map((path) => [path.join("."), path] as const))(
    "judges a wrong value as the library does: %s",
    (_, path) => {
      for (const wrong of [null, -1, "", "x y", "é".repeat(80_000), ["a"], { a: 1 }]) {
        const changed = replaceAt(receipt, path, () => wrong);
        expect(validate(changed)).toBe(receiptSchema.safeParse(changed).success);
      }
    },
  );

  it("takes no surplus field, no missing one, and no malformed evidence as if it were of another kind", () => {
    expect(validate({ ...receipt, more: 1 })).toBe(false);
    for (const key of Object.keys(receipt)) {
      expect(validate(Object.fromEntries(Object.entries(receipt).filter(([name]) => name !== key)))).toBe(false);
    }
    for (const kind of KNOWN_KINDS)
      expect(validate(replaceAt(receipt, ["core", "evidence", 1], () => ({ kind })))).toBe(false);
    expect(validate(replaceAt(receipt, ["core", "evidence", 1], () => ({ kind: "zk.other", any: [1] })))).toBe(true);
  });
});
