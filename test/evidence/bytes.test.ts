import { sha256 as pureSha256, sha384 as pureSha384 } from "@noble/hashes/sha2.js";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import {
  concatBytes,
  equalBytes,
  fromBase64,
  fromHex,
  fromHex0x,
  fromUtf8,
  keccak256,
  sha256,
  sha384,
  toBase32,
  toBase64,
  toHex,
  toHex0x,
  uint256,
  utf8,
} from "../../src/evidence/bytes.ts";

const bytes = fc.uint8Array({ maxLength: 80 });

test("every encoding gives back the bytes it was made of", () => {
  fc.assert(
    fc.property(bytes, (value) => {
      expect(fromHex(toHex(value))).toEqual(value);
      expect(fromHex0x(toHex0x(value))).toEqual(value);
      expect(fromBase64(toBase64(value))).toEqual(value);
      expect(toBase64(value)).toBe(Buffer.from(value).toString("base64"));
      expect(toBase32(value)).toMatch(/^[a-z2-7]*$/);
    }),
  );
});

test.each(["Zg", "Zg=", "Z_-=", " Zg==", "Zg==\n", "Zh==", "Zg==Zg=="])("%j is not base64", (text) => {
  expect(() => fromBase64(text)).toThrow(Error);
});

test.each(["0", "0g", "0x00", " 00"])("%j is not bare hex", (text) => {
  expect(() => fromHex(text)).toThrow(Error);
});

test.each(["", "00", "0X00", "0x0"])("%j is not prefixed hex", (text) => {
  expect(() => fromHex0x(text)).toThrow(Error);
});

test.each(["ff", "c080", "eda080", "f4908080", "e282"])("the bytes %s are not UTF-8", (text) => {
  expect(() => fromUtf8(fromHex(text))).toThrow(TypeError);
});

describe("published digests", () => {
  test("of the empty string and of abc", () => {
    const abc = utf8("abc");
    expect(toHex(sha256(abc))).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    expect(toHex(sha384(abc))).toBe(
      "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
    );
    // Keccak-256 as Ethereum has it, not SHA3-256.
    expect(toHex(keccak256(new Uint8Array(0)))).toBe(
      "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470",
    );
  });

  test.each([
    ["", ""],
    ["f", "my"],
    ["fo", "mzxq"],
    ["foobar", "mzxw6ytboi"],
  ])("base32 of %j is that of RFC 4648 §10, in lower case and unpadded", (text, expected) => {
    expect(toBase32(utf8(text))).toBe(expected);
  });
});

test("bytes are equal when they are the same and in no other case", () => {
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(equalBytes(a, b)).toBe(toHex(a) === toHex(b));
      expect(equalBytes(a, a.slice())).toBe(true);
      expect(toHex(concatBytes(a, b))).toBe(toHex(a) + toHex(b));
    }),
  );
});

test("an integer outside uint256 is refused, not wrapped", () => {
  expect(toHex(uint256(258))).toBe(`${"0".repeat(60)}0102`);
  expect(toHex(uint256(2n ** 256n - 1n))).toBe("f".repeat(64));
  expect(() => uint256(2n ** 256n)).toThrow(RangeError);
  expect(() => uint256(-1)).toThrow(RangeError);
  expect(() => uint256(0.5)).toThrow(RangeError);
});

test("the platform's hashes are the pure ones, as plain bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (value) => {
      expect(sha256(value)).toStrictEqual(pureSha256(value));
      expect(sha384(value)).toStrictEqual(pureSha384(value));
    }),
  );
});
