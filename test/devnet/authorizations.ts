import { pad, toHex, type Address, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount, type PrivateKeyAccount } from "viem/accounts";
import { CHAIN_ID } from "../../src/devnet/anvil.ts";
import type { Token } from "../../src/devnet/index.ts";

/** EIP-3009's fields, in its order. */
export type Authorization = {
  from: Address;
  to: Address;
  value: bigint;
  validAfter: bigint;
  validBefore: bigint;
  nonce: Hex;
};

const FIELDS = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
] as const;

/** Whole uint256: an authorization that never expires. */
export const FOREVER = 2n ** 256n - 1n;

export const newAccount = (): PrivateKeyAccount => privateKeyToAccount(generatePrivateKey());

let count = 0n;
/** A nonce no other call returned. */
export const freshNonce = (): Hex => pad(toHex(++count), { size: 32 });

export const domainOf = (token: Token) =>
  ({ name: token.name, version: token.version, chainId: CHAIN_ID, verifyingContract: token.address }) as const;

/** Signs as viem does, so that the contract is held against an implementation that is not ours. */
export const signAs = (
  signer: PrivateKeyAccount,
  token: Token,
  primaryType: "TransferWithAuthorization" | "ReceiveWithAuthorization",
  message: Authorization,
): Promise<Hex> =>
  primaryType === "TransferWithAuthorization"
    ? signer.signTypedData({
        domain: domainOf(token),
        types: { TransferWithAuthorization: FIELDS },
        primaryType,
        message,
      })
    : signer.signTypedData({
        domain: domainOf(token),
        types: { ReceiveWithAuthorization: FIELDS },
        primaryType,
        message,
      });

export const argumentsOf = (a: Authorization) => [a.from, a.to, a.value, a.validAfter, a.validBefore, a.nonce] as const;
