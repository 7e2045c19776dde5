import type { TypedDataDefinition } from "viem";
import { transferOf } from "../evidence/methods/eip3009.ts";
import { permitOf } from "../evidence/methods/permits.ts";
import { channelOf } from "../evidence/methods/voucher.ts";
import { concatBytes, fromHex0x, keccak256, toHex0x } from "../evidence/bytes.ts";
import { channelIdOf, CHANNELS, DEPOSIT_COLLECTOR } from "../evidence/channel.ts";
import { chainIdOf, type TransferAuthorization } from "../evidence/eip3009.ts";
import { PERMIT2, spenderOf } from "../evidence/permit2.ts";
import type { Payment } from "../receipts/schema.ts";
import { DEPOSIT_SALT, type OwnerCall } from "./owner-calls.ts";

const AUTHORIZATION = [
  { name: "from", type: "address" },
  { name: "to", type: "address" },
  { name: "value", type: "uint256" },
  { name: "validAfter", type: "uint256" },
  { name: "validBefore", type: "uint256" },
  { name: "nonce", type: "bytes32" },
];
const PERMIT = [
  { name: "permitted", type: "TokenPermissions" },
  { name: "spender", type: "address" },
  { name: "nonce", type: "uint256" },
  { name: "deadline", type: "uint256" },
  { name: "witness", type: "Witness" },
];
const PERMISSIONS = [
  { name: "token", type: "address" },
  { name: "amount", type: "uint256" },
];

/** The nonce of the authorization of a channel's deposit (x402's DepositCollector: keccak256 of channel id and salt). */
export const depositNonce = (channelId: string): string =>
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
export function typedDepositOf(call: Extract<OwnerCall, { kind: "deposit" }>, chainId: number): TypedDataDefinition {
  const { from, to, nonce, value, validAfter, validBefore } = depositAuthorization(call);
  return {
    domain: { ...call.domain, chainId, verifyingContract: hex(call.config.token) },
    types: { ReceiveWithAuthorization: AUTHORIZATION },
    primaryType: "ReceiveWithAuthorization",
    message: {
      from,
      to,
      value: BigInt(value),
      validAfter: BigInt(validAfter),
      validBefore: BigInt(validBefore),
      nonce,
    },
  };
}

/** The same payment as EIP-712 typed data, for accounts that sign and show nothing else. `token` is the asset's domain. */
export function typedDataOf(payment: Payment, token: { name: string; version: string }): TypedDataDefinition {
  const chainId = chainIdOf(payment.network);
  if (payment.method === "eip3009") {
    const { from, to, nonce, value, validAfter, validBefore } = transferOf(payment);
    return {
      domain: { ...token, chainId, verifyingContract: hex(payment.asset) },
      types: { TransferWithAuthorization: AUTHORIZATION },
      primaryType: "TransferWithAuthorization",
      message: {
        from,
        to,
        value: BigInt(value),
        validAfter: BigInt(validAfter),
        validBefore: BigInt(validBefore),
        nonce,
      },
    };
  }
  if (payment.method === "voucher") {
    return {
      domain: { name: "x402 Batch Settlement", version: "1", chainId, verifyingContract: hex(CHANNELS) },
      types: {
        Voucher: [
          { name: "channelId", type: "bytes32" },
          { name: "maxClaimableAmount", type: "uint128" },
        ],
      },
      primaryType: "Voucher",
      message: { channelId: channelIdOf(chainId, channelOf(payment)), maxClaimableAmount: BigInt(payment.cumulative) },
    };
  }
  const permit = permitOf(payment);
  const { facilitator } = permit;
  return {
    domain: { name: "Permit2", chainId, verifyingContract: hex(PERMIT2) },
    types: {
      PermitWitnessTransferFrom: PERMIT,
      TokenPermissions: PERMISSIONS,
      Witness: [
        { name: "to", type: "address" },
        ...(facilitator === undefined ? [] : [{ name: "facilitator", type: "address" }]),
        { name: "validAfter", type: "uint256" },
      ],
    },
    primaryType: "PermitWitnessTransferFrom",
    message: {
      permitted: { token: permit.token, amount: BigInt(permit.amount) },
      spender: spenderOf(permit),
      nonce: BigInt(permit.nonce),
      deadline: BigInt(permit.deadline),
      witness: {
        to: permit.to,
        ...(facilitator === undefined ? {} : { facilitator }),
        validAfter: BigInt(permit.validAfter),
      },
    },
  };
}

const hex = (text: string): `0x${string}` => toHex0x(fromHex0x(text));
