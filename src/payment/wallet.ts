import { secp256k1 } from "@noble/curves/secp256k1.js";
import {
  concatBytes,
  fromHex,
  fromHex0x,
  lowered,
  toHex0x,
  type Bytes,
  type Address,
  type Hex,
} from "../evidence/bytes.ts";
import { evidenceFor, methodOf, METHODS, paymentMethodOf, signingHash } from "../evidence/methods/methods.ts";
import { channelIdOf } from "../evidence/channel.ts";
import { authorizationHash } from "../evidence/eip3009.ts";
import { addressOf, signerOf } from "../evidence/signer.ts";
import { Proof402Error } from "../errors.ts";
import type { Offer, Payment } from "../receipts/schema.ts";
import type { Account, TypedData, UnsignedTransaction } from "./account.ts";
import { payerOf } from "./methods/methods.ts";
import { encodeCall, type Fees, type OwnerCall, type OwnerSigner } from "../chain/owner/calls.ts";
import { depositAuthorization, typedDepositOf } from "./typed-data.ts";
import { labelled, SECRET_DATA, SECRET_HASH, secretOf } from "./wallet-secret.ts";

/** Signs authorizations that were planned under the policy, and nothing else. The key is in a closure and has no way out. */
export type Wallet = OwnerSigner & {
  /**
   * The 65-byte signature (r, s, v) over the payment's EIP-712 hash. The same payment always gets the same one (RFC 6979)
   * from a private key. Throws Proof402Error `authorization_mismatch` unless payment, offer and hash agree in every field.
   */
  signAuthorization(payment: Payment, offer: Offer): Promise<Hex>;
  /**
   * A secret of this wallet for one purpose, 32 bytes as hex: the same on every machine and however the key is held. Null
   * where the account cannot give one: it signs the same data differently each time, or not at all.
   */
  deriveSecret(label: string): Promise<string | null>;
};

/**
 * A wallet over one private key: 0x and 32 bytes. Throws Proof402Error `private_key_invalid`, which names `field` as the
 * key's place and never quotes the key.
 *
 * @example
 * ```ts
 * import { walletFromPrivateKey } from "proof402";
 *
 * const { address } = walletFromPrivateKey(process.env["PROOF402_PRIVATE_KEY"] ?? "", "PROOF402_PRIVATE_KEY");
 * ```
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
  // Recovered form is one recovery byte, then r and s.
  const sign = (hash: Uint8Array): Uint8Array => secp256k1.sign(hash, key, { prehash: false, format: "recovered" });
  return makeWallet(address, {
    typed(_data, hash) {
      const recovered = sign(fromHex0x(hash));
      // Ethereum wants r, s, and 27 or 28.
      return Promise.resolve(toHex0x(concatBytes(recovered.subarray(1), Uint8Array.of(27 + (recovered[0] ?? 0)))));
    },
    async transaction(transaction) {
      const { from, getSignPayload, serialize } = await import("ox/TxEnvelopeEip1559");
      const envelope = from({ ...transaction, nonce: BigInt(transaction.nonce) });
      const recovered = sign(fromHex0x(getSignPayload(envelope)));
      return serialize(envelope, {
        signature: {
          r: BigInt(toHex0x(recovered.subarray(1, 33))),
          s: BigInt(toHex0x(recovered.subarray(33))),
          yParity: recovered[0] ?? 0,
        },
      });
    },
  });
}

/**
 * A wallet over an account that signs elsewhere, such as a viem account. Its answer is checked to be a signature by its address. The
 * first `deriveSecret`, called by `openBuyer`, takes two signatures that move no money.
 *
 * @example
 * ```ts
 * import { walletFromAccount } from "proof402";
 * import { mnemonicToAccount } from "viem/accounts";
 *
 * const wallet = walletFromAccount(mnemonicToAccount(process.env["MNEMONIC"] ?? ""));
 * ```
 */
export function walletFromAccount(account: Account): Wallet {
  const address = lowered(account.address);
  return makeWallet(address, {
    async typed(data, hash) {
      const signature = await account.signTypedData(data());
      if (signerOf(signature, hash) === address) return signature;
      throw new Proof402Error(
        "signature_invalid",
        "The account returned something that is not its signature of this authorization.",
        {
          next: "Use an account that signs EIP-712 data with its own key.",
        },
      );
    },
    transaction: (transaction) => account.signTransaction(transaction),
  });
}

/** Base units from which on an allowance limits nothing: Permit2 itself counts in 160 bits (AllowanceTransfer, `uint160 amount`). */
const UNLIMITED = 2n ** 160n - 1n;

type Token = { name: string; version: string };
type Sign = {
  /** Signs a hash, or shows its content and signs that. */
  typed: (data: () => TypedData, hash: Hex) => Promise<Hex>;
  transaction: (transaction: UnsignedTransaction) => Promise<Hex>;
};

function makeWallet(address: Address, sign: Sign): Wallet {
  let secret: Promise<Bytes | null> | null = null;
  return Object.freeze({
    address,
    async deriveSecret(label: string) {
      secret ??= secretOf(() => sign.typed(() => SECRET_DATA, SECRET_HASH));
      const key = await secret;
      return key === null ? null : labelled(key, label);
    },
    async signAuthorization(payment: Payment, offer: Offer) {
      const token = tokenOf(offer);
      const name = methodOf(payment);
      const agrees =
        payment.payer === address &&
        payment.network === offer.network &&
        payment.asset === offer.asset &&
        payment.amount === offer.amount &&
        payment.payTo === offer.payTo &&
        name !== null &&
        name === paymentMethodOf(offer) &&
        METHODS[name].differsFrom(payment, offer.extra) === null;
      if (!agrees || token === null) throw mismatch();
      // The planned hash was made under the policy's own domain: a payment changed since then does not match it.
      if (signingHash(payment, token) !== payment.authorizationHash) throw mismatch();
      const hash = payment.authorizationHash;
      return sign.typed(() => payerOf(payment).typedDataOf(payment, token), hash);
    },
    signDeposit(call: Extract<OwnerCall, { kind: "deposit" }>, chainId: number) {
      if (call.config.payer !== address || channelIdOf(chainId, call.config) !== call.channelId) throw mismatch();
      const domain = { ...call.domain, chainId, verifyingContract: call.config.token };
      const hash = authorizationHash(domain, depositAuthorization(call), "ReceiveWithAuthorization");
      return sign.typed(() => typedDepositOf(call, chainId), hash);
    },
    async signOwnerCall(call: OwnerCall, authorization: Hex | null, fees: Fees) {
      if (call.kind === "approve" && call.amount >= UNLIMITED) {
        throw new Proof402Error("approval_too_wide", "An allowance without a limit is never given.", {
          next: "Name the amount that Permit2 may move.",
        });
      }
      return sign.transaction({ type: "eip1559", value: 0n, ...(await encodeCall(call, authorization)), ...fees });
    },
  });
}

/** The token's own domain, where the method signs in it. */
function tokenOf(offer: Offer): Token | null {
  if (evidenceFor(offer)?.inTokenDomain !== true) return { name: "", version: "" };
  const { name, version } = offer.extra;
  return typeof name === "string" && typeof version === "string" ? { name, version } : null;
}

const mismatch = (): Proof402Error =>
  new Proof402Error("authorization_mismatch", "The payment to sign is not the one that was planned for this offer.", {
    next: "Nothing was signed. Buy again; if this repeats, the journal was changed by another program.",
  });
