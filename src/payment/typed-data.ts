import { concatBytes, fromHex0x, keccak256, toHex0x, type Hex } from "../evidence/bytes.ts";
import { DEPOSIT_COLLECTOR } from "../evidence/channel.ts";
import type { TokenDomain, TransferAuthorization } from "../evidence/eip3009.ts";
import { DEPOSIT_SALT, type OwnerCall } from "../chain/owner/calls.ts";
import type { TypedData } from "./account.ts";

const AUTHORIZATION = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
];
const TYPES = {
  TransferWithAuthorization: { TransferWithAuthorization: AUTHORIZATION },
  ReceiveWithAuthorization: { ReceiveWithAuthorization: AUTHORIZATION },
};

/** The nonce of the authorization of a channel's deposit (x402's DepositCollector: keccak256 of channel id and salt). */
export const depositNonce = (channelId: string): Hex =>
  toHex0x(keccak256(concatBytes(fromHex0x(channelId), fromHex0x(DEPOSIT_SALT))));

/** The authorization of a deposit: to the collector only, with a nonce that names the channel. */
export const depositAuthorization = ({
  config,
  channelId,
  amount,
  validBefore,
}: Extract<OwnerCall, { kind: "deposit" }>): TransferAuthorization => ({
  from: config.payer,
  to: DEPOSIT_COLLECTOR,
  value: amount.toString(),
  validAfter: 0,
  validBefore,
  nonce: depositNonce(channelId),
});

/** The same as typed data, in the token's domain. */
export const typedDepositOf = (call: Extract<OwnerCall, { kind: "deposit" }>, chainId: number): TypedData =>
  typedTransferOf("ReceiveWithAuthorization", depositAuthorization(call), {
    ...call.domain,
    chainId,
    verifyingContract: call.config.token,
  });

/** An EIP-3009 authorization as typed data, in the token's domain. */
export const typedTransferOf = (
  primaryType: keyof typeof TYPES,
  { from, to, nonce, value, validAfter, validBefore }: TransferAuthorization,
  domain: TokenDomain,
): TypedData => ({
  domain,
  types: TYPES[primaryType],
  primaryType,
  message: { from, to, value: BigInt(value), validAfter: BigInt(validAfter), validBefore: BigInt(validBefore), nonce },
});
