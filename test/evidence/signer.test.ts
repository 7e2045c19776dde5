import { secp256k1 } from "@noble/curves/secp256k1.js";
import fc from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import { concatBytes, fromHex0x, toHex0x, uint256 } from "../../src/evidence/bytes.ts";
import * as libsecp256k1 from "tiny-secp256k1";
import manifest from "../../package.json" with { type: "json" };
import { loadBeside } from "../../src/evidence/native.ts";
import {
  addressOf,
  createSignerCheck,
  engineIn,
  ENGINE_VERSION,
  pointBehind,
  signerOf,
} from "../../src/evidence/signer.ts";

const [OWN, OTHER] = [new Uint8Array(32).fill(7), new Uint8Array(32).fill(8)];
const addressIn = (key: Uint8Array): string => addressOf(secp256k1.getPublicKey(key, false));
const hashOf = (number: number): string => toHex0x(uint256(number));

function sign(key: Uint8Array, hash: string): string {
  const signed = secp256k1.sign(fromHex0x(hash), key, { prehash: false, format: "recovered" });
  return toHex0x(concatBytes(signed.subarray(1), Uint8Array.of(27 + signed[0]!)));
}

/** Recovers the address behind a signature by the curve's own functions, null if it is invalid. */
function recovered(signature: string, hash: string): string | null {
  try {
    const bytes = fromHex0x(signature.toLowerCase());
    if (bytes.length !== 65 || fromHex0x(hash).length !== 32) return null;
    const signed = concatBytes(Uint8Array.of(bytes[64]! - 27), bytes.subarray(0, 64));
    if (signed[0]! > 1) return null;
    const key = secp256k1.Signature.fromBytes(signed, "recovered").recoverPublicKey(fromHex0x(hash));
    return addressOf(key.toBytes(false));
  } catch {
    return null;
  }
}

const ENGINES = { "the pure functions": () => null, libsecp256k1: () => libsecp256k1 } as const;

/** Makes a check that has met the own key's signatures this often. */
function checkAfter(
  met: number,
  by: keyof typeof ENGINES = "the pure functions",
): ReturnType<typeof createSignerCheck> {
  const check = createSignerCheck(ENGINES[by]);
  for (let number = 1; number <= met; number += 1)
    expect(check(sign(OWN, hashOf(number)), hashOf(number), addressIn(OWN))).toBe(true);
  return check;
}

/** Makes the other signature of the same key and point: s taken from the order. */
function mirrored(signature: string, flipParity: boolean): string {
  const bytes = fromHex0x(signature);
  const s = uint256(secp256k1.Point.Fn.ORDER - BigInt(toHex0x(bytes.subarray(32, 64))));
  const v = flipParity ? 27 + 28 - bytes[64]! : bytes[64]!;
  return toHex0x(concatBytes(bytes.subarray(0, 32), s, Uint8Array.of(v)));
}

// From the sixteenth on the process recovers by libsecp256k1.
beforeAll(() => {
  for (let number = 1; number <= 20; number += 1) signerOf(sign(OWN, hashOf(number)), hashOf(number));
});

const isHigh = (signature: string): boolean =>
  BigInt(toHex0x(fromHex0x(signature).subarray(32, 64))) > secp256k1.Point.Fn.ORDER / 2n;

describe.each([
  [0, "the pure functions"],
  [1, "the pure functions"],
  [40, "the pure functions"],
  [1, "libsecp256k1"],
] as const)("of an address met %i times, by %s", (met, by) => {
  const check = checkAfter(met, by);
  const agrees = (signature: string, hash: string, address = addressIn(OWN)): boolean => {
    const found = check(signature, hash, address);
    const signer = recovered(signature, hash);
    expect(found).toBe(signer === address);
    expect(signerOf(signature, hash)).toBe(signer);
    if (found) expect(pointBehind(signature, hash) === null).toBe(isHigh(signature));
    return found;
  };

  test("a signature is taken exactly where recovering its key names the address", () => {
    const hash = fc.uint8Array({ minLength: 32, maxLength: 32 }).map(toHex0x);
    const change = fc.record({ at: fc.nat(64), by: fc.integer({ min: 1, max: 255 }) });
    fc.assert(
      fc.property(hash, hash, change, (signed, other, { at, by }) => {
        const good = sign(OWN, signed);
        expect(agrees(good, signed)).toBe(true);
        expect(agrees(good, other)).toBe(signed === other);
        const bytes = fromHex0x(good);
        bytes[at]! ^= by;
        expect(agrees(toHex0x(bytes), signed)).toBe(false);
        expect(agrees(mirrored(good, true), signed)).toBe(true);
        expect(agrees(mirrored(good, false), signed)).toBe(false);
      }),
      { numRuns: 10 },
    );
  });

  test("none by another key is taken, and the other key's are its own", () => {
    const signature = sign(OTHER, hashOf(3));
    expect(agrees(signature, hashOf(3))).toBe(false);
    expect(agrees(signature, hashOf(3), addressIn(OTHER))).toBe(true);
    expect(agrees(sign(OWN, hashOf(3)), hashOf(3), addressIn(OTHER))).toBe(false);
  });

  test("what is no signature or no hash is taken by none", () => {
    const good = sign(OWN, hashOf(1));
    const word = (number: bigint): string => toHex0x(uint256(number)).slice(2);
    const order = secp256k1.Point.Fn.ORDER;
    for (const [r, s] of [
      [0n, 1n],
      [1n, 0n],
      [order, 1n],
      [1n, order],
      [order - 1n, order - 1n],
      [2n ** 256n - 1n, 1n],
      [1n, 1n],
      [2n, order - 1n],
      [5n, 5n],
    ] as const)
      for (const v of ["1b", "1c"]) agrees(`0x${word(r)}${word(s)}${v}`, hashOf(1));
    for (const signature of ["", "0x", "0xzz", good.slice(0, -2), `${good}00`, `${good.slice(0, -2)}00`])
      expect(agrees(signature, hashOf(1))).toBe(false);
    for (const hash of ["", "0x", "0xzz", "1", hashOf(1).slice(0, -2), `${hashOf(1)}00`])
      expect(agrees(good, hash)).toBe(false);
    expect(agrees(sign(OWN, hashOf(0)), hashOf(0))).toBe(true);
  });
});

test("more addresses than are remembered are told apart", () => {
  const check = checkAfter(40);
  for (let number = 1; number <= 40; number += 1) {
    const key = uint256(number);
    expect(check(sign(key, hashOf(number)), hashOf(number), addressIn(key))).toBe(true);
  }
  expect(check(sign(OWN, hashOf(1)), hashOf(1), addressIn(OWN))).toBe(true);
  expect(check(sign(OTHER, hashOf(1)), hashOf(1), addressIn(OWN))).toBe(false);
});

test("a package that does not recover a known key is no engine", () => {
  expect(engineIn(libsecp256k1)).toBe(libsecp256k1);
  expect(engineIn(null)).toBeNull();
  const another = { ...libsecp256k1, recover: undefined } as unknown as typeof libsecp256k1;
  const wrong = { ...libsecp256k1, recover: () => secp256k1.getPublicKey(OTHER, false) };
  const credulous = { ...libsecp256k1, recover: () => secp256k1.getPublicKey(OWN, false) };
  for (const one of [another, wrong, credulous]) expect(engineIn(one)).toBeNull();
  expect(manifest.dependencies["tiny-secp256k1"]).toBe(ENGINE_VERSION);
  expect(engineIn(loadBeside("tiny-secp256k1", ENGINE_VERSION))).not.toBeNull();
  expect(loadBeside("tiny-secp256k1", "1.0.0")).toBeNull();
});

test("an engine that breaks condemns no signature", () => {
  const broken = { ...libsecp256k1, recover: () => null };
  const trap = {
    ...libsecp256k1,
    recover: (): never => {
      throw new WebAssembly.RuntimeError("unreachable");
    },
  };
  for (const one of [broken, trap]) {
    const check = createSignerCheck(() => one);
    expect(check(sign(OWN, hashOf(1)), hashOf(1), addressIn(OWN))).toBe(true);
    expect(check(sign(OTHER, hashOf(1)), hashOf(1), addressIn(OWN))).toBe(false);
  }
});
