import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { toBase64, toHex, keccak256, sha256 } from "../../src/evidence/bytes.ts";
import { bytesOf, hashesOf, textOfBytes } from "../../src/evidence/body.ts";

describe("bodies of receipts", () => {
  it("are decoded as they are, in any order and number", () => {
    const few = fc.constantFrom(...["", "a", "b", "ab", "ba"].map((text) => new TextEncoder().encode(text)));
    fc.assert(
      fc.property(fc.array(fc.oneof(few, fc.uint8Array({ maxLength: 40 })), { maxLength: 12 }), (bodies) => {
        for (const body of bodies) {
          const bytes = bytesOf(toBase64(body));
          expect(bytes).toEqual(body);
          expect(hashesOf(bytes)).toEqual({ sha256: toHex(sha256(body)), keccak256: toHex(keccak256(body)) });
        }
      }),
    );
  });

  it("share an array while they are equal, so that each is read once", () => {
    const [one, other] = [toBase64(Uint8Array.of(1)), toBase64(Uint8Array.of(2))];
    const bytes = bytesOf(one);
    expect(bytesOf(other)).not.toBe(bytes);
    expect(bytesOf(one.slice())).toBe(bytes);
  });

  it("that were just written are read from the array that they came in", () => {
    const bytes = Uint8Array.of(4, 0, 2);
    const body = textOfBytes(bytes);
    expect(body).toBe(toBase64(bytes));
    expect(bytesOf(body)).toBe(bytes);
  });
});
