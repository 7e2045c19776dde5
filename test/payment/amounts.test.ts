import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatUnits, parseUnits, usdToBaseUnits } from "../../src/chain/amounts.ts";

describe("dollars as base units", () => {
  it("are exact for every amount of whole millionths", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 1e12 }), fc.integer({ min: 6, max: 36 }), (millionths, decimals) => {
        expect(usdToBaseUnits(millionths / 1e6, decimals)).toBe(BigInt(millionths) * 10n ** BigInt(decimals - 6));
      }),
    );
  });

  it("never come to more than was meant", () => {
    expect(usdToBaseUnits(0.0199999999, 6)).toBe(19_999n);
    expect(usdToBaseUnits(1000.0000009, 6)).toBe(1_000_000_000n);
    expect(usdToBaseUnits(0.1 + 0.2, 6)).toBe(300_000n);
    expect(usdToBaseUnits(5e-324, 36)).toBe(0n);
    expect(usdToBaseUnits(0.999, 0)).toBe(0n);
    fc.assert(
      fc.property(fc.double({ min: 0, max: 1e12, noNaN: true }), fc.integer({ min: 0, max: 36 }), (usd, decimals) => {
        // A finer asset's bound, cut to the coarser one's decimals, is the coarser one's.
        expect(usdToBaseUnits(usd, decimals)).toBe(usdToBaseUnits(usd, 400) / 10n ** BigInt(400 - decimals));
      }),
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY, -0.01, 1e13])("of %s are refused", (usd) => {
    expect(() => usdToBaseUnits(usd, 6)).toThrow(expect.objectContaining({ code: "invalid_max_usd" }));
  });
});

describe("base units for people", () => {
  it("read back as what they were", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 40n), fc.integer({ min: 0, max: 36 }), (units, decimals) => {
        const [whole = "", fraction = ""] = formatUnits(units, decimals).split(".");
        expect(BigInt(whole + fraction.padEnd(decimals, "0"))).toBe(units);
        expect(fraction.endsWith("0")).toBe(false);
      }),
    );
  });

  it("are what a person wrote, exactly, and nothing where it has too many places or is no number", () => {
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 40n - 1n), fc.integer({ min: 0, max: 36 }), (units, decimals) => {
        expect(parseUnits(formatUnits(units, decimals), decimals)).toBe(units);
      }),
    );
    for (const text of ["", ".5", "5.", "1e3", "-1", "0x10", "1,5", "max", "MAX", "0.0000001", String(10n ** 40n)])
      expect(parseUnits(text, 6)).toBeNull();
  });
});
