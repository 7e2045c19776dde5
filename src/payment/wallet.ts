import { secp256k1 } from "@noble/curves/secp256k1.js";
import type { LocalAccount } from "viem/accounts";
import { concatBytes, fromHex, fromHex0x, keccak256, toHex0x } from "../evidence/bytes.ts";
import { authorizationHash, chainIdOf, type TokenDomain, type TransferAuthorization } from "../evidence/eip3009.ts";
import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import { authorizationOf } from "./plan.ts";

/** Signs authorizations that were planned under the policy, and nothing else. The key is in a closure and has no way out. */
export type Wallet = {
  /** 0x and 20 bytes, lower case. */
  readonly address: string;
  /**
   * The 65-byte signature (r, s, v) over the payment's EIP-712 hash. The same payment always gets the same one (RFC 6979)
   * from a private key. Throws Proof402Error `authorization_mismatch` unless payment, offer and hash agree in every field.
   */
  signAuthorization(payment: Payment, offer: Offer): Promise<`0x${string}`>;
};

/**
 * A wallet over one private key: 0x and 32 bytes. Throws Proof402Error `private_key_invalid`, which names `field` as the
 * key's place and never quotes the key.
 */
export function walletFromPrivateKey(privateKey: string, field = "privateKey"): Wallet {
  const key = /^0x[0-9a-fA-F]{64}$/.test(privateKey) ? fromHex(privateKey.slice(2).toLowerCase()) : null;
  if (key === null || !secp256k1.utils.isValidSecretKey(key)) {
    throw new Proof402Error("private_key_invalid", `${field} is not a private key.`, {
      next: `Give ${field} as 0x followed by 64 hex digits.`,
      details: { field },
    });
  }
  const address = addressOf(secp256k1.getPublicKey(key, false));
  return makeWallet(address, (_domain, _message, hash) => {
    // Recovered form is one recovery byte, then r and s; Ethereum wants r, s, and 27 or 28.
    const recovered = secp256k1.sign(fromHex0x(hash), key, { prehash: false, format: "recovered" });
    return Promise.resolve(toHex0x(concatBytes(recovered.subarray(1), Uint8Array.of(27 + (recovered[0] ?? 0)))));
  });
}

/** A wallet over a viem account (hardware, remote signer). Its answer is checked to be a signature by its address. */
export function walletFromAccount(account: LocalAccount): Wallet {
  const address = account.address.toLowerCase();
  return makeWallet(address, async (domain, message, hash) => {
    const signature = await account.signTypedData({
      domain: { ...domain, verifyingContract: fromHexAddress(domain.verifyingContract) },
      types: { TransferWithAuthorization: AUTHORIZATION_FIELDS },
      primaryType: "TransferWithAuthorization",
      message: {
        from: fromHexAddress(message.from),
        to: fromHexAddress(message.to),
        value: BigInt(message.value),
        validAfter: BigInt(message.validAfter),
        validBefore: BigInt(message.validBefore),
        nonce: fromHexAddress(message.nonce),
      },
    });
    if (signerOf(signature, hash) === address) return signature;
    throw new Proof402Error(
      "signature_invalid",
      "The account returned something that is not its signature of this authorization.",
      {
        next: "Use an account that signs EIP-712 data with its own key.",
      },
    );
  });
}

const AUTHORIZATION_FIELDS = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
] as const;

type Sign = (domain: TokenDomain, message: TransferAuthorization, hash: `0x${string}`) => Promise<`0x${string}`>;

function makeWallet(address: string, sign: Sign): Wallet {
  return Object.freeze({
    address,
    async signAuthorization(payment: Payment, offer: Offer) {
      const { name, version } = offer.extra;
      const agrees =
        payment.payer === address &&
        payment.network === offer.network &&
        payment.asset === offer.asset &&
        payment.amount === offer.amount &&
        payment.payTo === offer.payTo &&
        typeof name === "string" &&
        typeof version === "string";
      if (!agrees) throw mismatch();
      const domain = { name, version, chainId: chainIdOf(payment.network), verifyingContract: payment.asset };
      const message = authorizationOf(payment);
      // The planned hash was made under the policy's own domain: a payment changed since then does not match it.
      if (authorizationHash(domain, message) !== payment.authorizationHash) throw mismatch();
      return sign(domain, message, payment.authorizationHash);
    },
  });
}

const mismatch = (): Proof402Error =>
  new Proof402Error("authorization_mismatch", "The payment to sign is not the one that was planned for this offer.", {
    next: "Nothing was signed. Buy again; if this repeats, the journal was changed by another program.",
  });

/** Ethereum address of an uncompressed public key: the last 20 bytes of keccak256 over it without its first byte. */
const addressOf = (publicKey: Uint8Array): string => toHex0x(keccak256(publicKey.subarray(1)).subarray(12));

function signerOf(signature: string, hash: string): string | null {
  try {
    const bytes = fromHex0x(signature.toLowerCase());
    const recovery = (bytes[64] ?? 0) - 27;
    if (bytes.length !== 65 || (recovery !== 0 && recovery !== 1)) return null;
    const key = secp256k1.recoverPublicKey(
      concatBytes(Uint8Array.of(recovery), bytes.subarray(0, 64)),
      fromHex0x(hash),
      { prehash: false },
    );
    return addressOf(secp256k1.Point.fromBytes(key).toBytes(false));
  } catch {
    return null;
  }
}

const fromHexAddress = (text: string): `0x${string}` => toHex0x(fromHex0x(text));
