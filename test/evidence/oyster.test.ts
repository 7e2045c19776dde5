import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { createPublicKey } from "node:crypto";
import { expect, test } from "vitest";
import { fromHex, keccak256, toHex, toHex0x } from "../../src/evidence/bytes.ts";
import { keyIdOfPoint, oysterMessageHash, pointIn, spkiOfPoint } from "../../src/evidence/oyster.ts";
import { pointBehind } from "../../src/evidence/signer.ts";
import { oysterKey, oysterSignature } from "../support/oyster.ts";

/** A length, big-endian. */
const sized = (length: number, size: 4 | 8): Buffer => {
  const bytes = Buffer.alloc(size);
  bytes.writeUInt32BE(length, size - 4);
  return bytes;
};

test("the signed hash is of the parts, each after its length", () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.uint8Array(), fc.uint8Array(), (method, path, request, response) => {
      const [m, p] = [Buffer.from(method), Buffer.from(path)];
      const message = Buffer.concat([
        Buffer.from("oyster-signature-v2\0"),
        sized(m.length, 4),
        m,
        sized(p.length, 4),
        p,
        sized(request.length, 8),
        request,
        sized(response.length, 8),
        response,
      ]);
      expect(oysterMessageHash({ method, path, request, response })).toEqual(keccak256(message));
    }),
  );
  const exchange = { method: "POST", path: "/a", request: new Uint8Array([1, 2]), response: new Uint8Array([3]) };
  const shifted = { ...exchange, request: new Uint8Array([1]), response: new Uint8Array([2, 3]) };
  expect(oysterMessageHash(exchange)).not.toEqual(oysterMessageHash(shifted));
});

test("a key is one that other libraries read, and the point behind a signature is its own", () => {
  const { secret, point } = oysterKey();
  const spki = spkiOfPoint(fromHex(point));
  const { crv, x, y } = createPublicKey({ key: Buffer.from(spki), format: "der", type: "spki" }).export({
    format: "jwk",
  });
  expect([crv, Buffer.from(x!, "base64url").toString("hex") + Buffer.from(y!, "base64url").toString("hex")]).toEqual([
    "secp256k1",
    point,
  ]);
  expect(toHex(pointIn(spki)!)).toBe(point);
  expect(pointIn(spki.subarray(1))).toBeNull();
  expect(keyIdOfPoint(point)).toBe(toHex0x(keccak256(spki)));
  const exchange = { method: "POST", path: "/a", request: new Uint8Array(), response: new Uint8Array() };
  const hash = toHex0x(oysterMessageHash(exchange));
  const signature = oysterSignature(secret, exchange);
  expect(pointBehind(`0x${signature}`, hash)).toBe(`0x${point}`);
  // The same point lies behind the other s with the other parity: no signer writes that one.
  const s = secp256k1.Point.Fn.ORDER - BigInt(`0x${signature.slice(64, 128)}`);
  const other = signature.endsWith("1b") ? "1c" : "1b";
  expect(pointBehind(`0x${signature.slice(0, 64)}${s.toString(16).padStart(64, "0")}${other}`, hash)).toBeNull();
  for (const malformed of ["0x", `0x${signature.slice(2)}`, `0x${"00".repeat(65)}`, `0x${signature.slice(0, 128)}ff`])
    expect(pointBehind(malformed, hash)).toBeNull();
});
