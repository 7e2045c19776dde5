import type { WeierstrassPoint } from "@noble/curves/abstract/weierstrass.js";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import type * as Libsecp256k1 from "tiny-secp256k1";
import {
  concatBytes,
  equalBytes,
  fromHex0x,
  keccak256,
  toHex0x,
  uint256,
  type Address,
  type Bytes,
  type Hex,
} from "./bytes.ts";
import { loadBeside } from "./native.ts";

type PublicKey = WeierstrassPoint<bigint>;

/** Ethereum address of an uncompressed public key: the last 20 bytes of keccak256 over it without its first byte. */
export const addressOf = (publicKey: Uint8Array): Address => toHex0x(keccak256(publicKey.subarray(1)).subarray(12));

/**
 * Recovers the address behind a 65-byte signature (r, s, 27 or 28) of a hash, lower case, null if it is invalid. Both
 * 0x hex.
 */
export function signerOf(signature: string, hash: string): Address | null {
  const key = keyBehind(signature, hash);
  return key === null ? null : addressOf(key);
}

/**
 * Recovers the key behind a 65-byte signature (r, s, 27 or 28) of a hash: its two coordinates, 0x hex; null if it is
 * invalid. Takes the lower of the two values of s only, as signers write it (BIP 62). Both 0x hex.
 */
export function pointBehind(signature: string, hash: string): Hex | null {
  try {
    if (read(signature)?.hasHighS() !== false) return null;
  } catch {
    return null;
  }
  const key = keyBehind(signature, hash);
  return key === null ? null : toHex0x(key.subarray(1));
}

/** The base point with tables of its own, made at their first use: wider than those that signing shares. */
const GENERATOR = secp256k1.Point.fromAffine(secp256k1.Point.BASE.toAffine()).precompute(8);
/** Number of recoveries in one process that make libsecp256k1 worth its load, some 40 ms. */
const ENGINE_FROM = 16;
/** The version that is tested, as package.json has it. */
export const ENGINE_VERSION = "2.2.4";
let [recoveries, engine]: [number, typeof Libsecp256k1 | null] = [0, null];

/**
 * libsecp256k1 as WebAssembly, once this process has recovered some keys: on Node, null in a browser. It gives the keys that
 * the pure functions give, in a sixth of their time.
 */
function libsecp256k1(): typeof Libsecp256k1 | null {
  recoveries += 1;
  if (recoveries === ENGINE_FROM) engine = engineIn(loadBeside<typeof Libsecp256k1>("tiny-secp256k1", ENGINE_VERSION));
  return engine;
}

/** Signatures that tell an engine from something else: of the base point's coordinate, of both parities, and of no point's. */
const KNOWN_HASH = toHex0x(new Uint8Array(32).fill(0x11));
const KNOWN = [
  [GENERATOR.toBytes().subarray(1), 27],
  [GENERATOR.toBytes().subarray(1), 28],
  [uint256(5), 27],
] as const;

/**
 * Takes a package for an engine if it gives the keys that the pure functions give, else null. Beside the library another package
 * of its name, or another version, may lie.
 */
export function engineIn(loaded: typeof Libsecp256k1 | null): typeof Libsecp256k1 | null {
  if (loaded === null) return null;
  const agrees = KNOWN.every(([r, v]) => {
    const signature = toHex0x(concatBytes(r, uint256(1), Uint8Array.of(v)));
    const [key, known] = [recoverBy(loaded, signature, KNOWN_HASH), keyOf(signature, KNOWN_HASH)?.toBytes(false)];
    return key === null || known === undefined ? key === null && known === undefined : equalBytes(key, known);
  });
  return agrees ? loaded : null;
}

/** Recovers the key behind a signature as its uncompressed bytes, null if it is invalid. The pure functions alone say that. */
function keyBehind(signature: string, hash: string): Uint8Array | null {
  const fast = libsecp256k1();
  const key = fast === null ? null : recoverBy(fast, signature, hash);
  return key ?? keyOf(signature, hash)?.toBytes(false) ?? null;
}

function recoverBy({ recover }: typeof Libsecp256k1, signature: string, hash: string): Uint8Array | null {
  try {
    const bytes = fromHex0x(signature.toLowerCase());
    const parity = (bytes[64] ?? 0) - 27;
    if (bytes.length !== 65 || (parity !== 0 && parity !== 1)) return null;
    return recover(fromHash(hash), bytes.subarray(0, 64), parity, false);
  } catch {
    return null;
  }
}

/** Number of an address's good signatures that make its key's tables worth their cost. */
const TABLED_FROM = 16;
/** Bounds the remembered keys. One takes some 300 kB with its tables. */
const MAX_KEYS = 16;

/**
 * Makes a check that is true exactly if {@link signerOf} names the address. It remembers the keys of recent good signatures,
 * so without an engine it recovers none for an address that it meets often. `engineOf` is for tests.
 */
export function createSignerCheck(
  engineOf = libsecp256k1,
): (signature: string, hash: string, address: string) => boolean {
  const keys = new Map<string, { key: PublicKey; seen: number }>();
  return (signature, hash, address) => {
    const fast = engineOf();
    const behind = fast === null ? null : recoverBy(fast, signature, hash);
    // What the engine does not find, broken or not, the pure functions decide.
    if (behind !== null && addressOf(behind) === address) return true;
    const known = keys.get(address);
    if (known !== undefined && known.seen >= TABLED_FROM) return isMadeBy(known.key, signature, hash);
    const recovered = keyOf(signature, hash);
    if (recovered === null || addressOf(recovered.toBytes(false)) !== address) return false;
    const { key, seen } = known ?? { key: recovered, seen: 0 };
    if (seen + 1 === TABLED_FROM) key.precompute();
    keys.delete(address);
    keys.set(address, { key, seen: seen + 1 });
    const oldest = keys.keys().next();
    if (keys.size > MAX_KEYS && !oldest.done) keys.delete(oldest.value);
    return true;
  };
}

/** Recovers the key of a signature (SEC 1 §4.1.6), null if it is invalid. */
function keyOf(signature: string, hash: string): PublicKey | null {
  try {
    return read(signature)?.recoverPublicKey(fromHash(hash)) ?? null;
  } catch {
    return null;
  }
}

/** Checks that recovery would give this key: r and the parity name the point that verification computes (SEC 1 §4.1.4). */
function isMadeBy(key: PublicKey, signature: string, hash: string): boolean {
  try {
    const signed = read(signature);
    if (signed === null) return false;
    const { Fn } = secp256k1.Point;
    const inverse = Fn.inv(signed.s);
    const ofHash = GENERATOR.multiplyUnsafe(Fn.create(BigInt(toHex0x(fromHash(hash))) * inverse));
    const point = ofHash.add(key.multiplyUnsafe(Fn.create(signed.r * inverse)));
    const { x, y } = point.toAffine();
    return !point.is0() && x === signed.r && Number(y & 1n) === signed.recovery;
  } catch {
    return false;
  }
}

/** Reads the two numbers and the parity, null from another form. Throws if a number is out of range. */
function read(signature: string): InstanceType<typeof secp256k1.Signature> | null {
  const bytes = fromHex0x(signature.toLowerCase());
  const recovery = (bytes[64] ?? 0) - 27;
  if (bytes.length !== 65 || (recovery !== 0 && recovery !== 1)) return null;
  return secp256k1.Signature.fromBytes(concatBytes(Uint8Array.of(recovery), bytes.subarray(0, 64)), "recovered");
}

/** Reads a hash. Throws if it is not 32 bytes. */
function fromHash(hash: string): Bytes {
  const bytes = fromHex0x(hash);
  if (bytes.length !== 32) throw new TypeError("a signed hash has 32 bytes");
  return bytes;
}
