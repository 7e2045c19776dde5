import type { Address, Hex } from "../evidence/bytes.ts";

/** EIP-712 data to sign. `types` leaves the domain's own type out: it follows from the domain's fields. */
export type TypedData = {
  domain: { name?: string; version?: string; chainId?: number; verifyingContract?: Address };
  types: Record<string, readonly { name: string; type: string }[]>;
  primaryType: string;
  message: Record<string, unknown>;
};

/** An EIP-1559 transaction to sign. Fees and `value` in wei. */
export type UnsignedTransaction = {
  type: "eip1559";
  chainId: number;
  nonce: number;
  gas: bigint;
  maxFeePerGas: bigint;
  maxPriorityFeePerGas: bigint;
  to: Address;
  value: bigint;
  data: Hex;
};

/**
 * An account that signs elsewhere: hardware, or a remote signer. A local account of viem is one as it is. A signer of ethers
 * becomes one by a function each: its `signTypedData` takes `domain`, `types` and `message` apart, its `signTransaction` says
 * `type: 2` and `gasLimit`.
 */
export type Account = {
  /** 0x and 20 bytes, in lower case or with a checksum. */
  readonly address: Address;
  /** The 65-byte signature: r, s, and 27 or 28. */
  signTypedData(data: TypedData): Promise<Hex>;
  /** The signed transaction, serialized (EIP-2718). */
  signTransaction(transaction: UnsignedTransaction): Promise<Hex>;
};
