import { secp256k1 } from "@noble/curves/secp256k1.js";
import { toHex0x, type Hex } from "../evidence/bytes.ts";

/** A new private key, 0x hex, from the system's random source. */
export const newPrivateKey = (): Hex => toHex0x(secp256k1.utils.randomSecretKey());
