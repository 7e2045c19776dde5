import type { Abi } from "ox/Abi";
import { CHANNELS, DEPOSIT_COLLECTOR, type ChannelConfig } from "../../evidence/channel.ts";
import { PERMIT2 } from "../../evidence/permit2.ts";
import { encodeProofRecord, type ProofCall } from "./proof-calls.ts";
import { encodeRootCall, type RootCall } from "./root-calls.ts";
import { encodeValidation, type ValidationCall } from "./validation-calls.ts";
import type { Address, Hex } from "../../evidence/bytes.ts";

/** What only the owner's own commands have a wallet send. Amounts in base units. */
export type OwnerCall =
  /** Permit2 may move exactly this much. */
  | { kind: "approve"; asset: Address; amount: bigint }
  /** Puts money into a channel, by an EIP-3009 authorization that the wallet makes for it and for nothing else. */
  | {
      kind: "deposit";
      config: ChannelConfig;
      channelId: string;
      amount: bigint;
      /** The token's EIP-712 domain. */
      domain: { name: string; version: string };
      /** Unix seconds. */
      validBefore: number;
    }
  /** Asks for unclaimed money back; it can be taken once the channel's delay is over. */
  | { kind: "withdraw"; config: ChannelConfig; amount: bigint }
  | { kind: "finalize"; config: ChannelConfig }
  /** Writes to the configured Validation Registry, which moves no money. */
  | ValidationCall
  /** Has a proof checked on chain, which moves no money. */
  | ProofCall
  /** Writes to the contract of log roots, which moves no money. */
  | RootCall;

/** EIP-1559 fees in wei, and the account's next nonce. */
export type Fees = {
  chainId: number;
  nonce: number;
  gas: bigint;
  maxFeePerGas: bigint;
  maxPriorityFeePerGas: bigint;
};

/** An account that signs its owner's calls. */
export type OwnerSigner = {
  /** 0x and 20 bytes, lower case. */
  readonly address: Address;
  /** The EIP-3009 signature of a deposit into a channel of this wallet: to the collector, under the channel's own nonce. */
  signDeposit(call: Extract<OwnerCall, { kind: "deposit" }>, chainId: number): Promise<Hex>;
  /**
   * The signed, serialized transaction of one of the owner's own calls, and of nothing else. Throws Proof402Error
   * `approval_too_wide` for an allowance that is as good as unlimited.
   */
  signOwnerCall(call: OwnerCall, authorization: Hex | null, fees: Fees): Promise<Hex>;
};

/**
 * Makes a deposit's authorization nonce with the channel's id. Always the same: a token takes one authorization per
 * nonce, so one channel gets one deposit, even if it is signed again or an RPC lies about it.
 */
export const DEPOSIT_SALT = `0x${"00".repeat(32)}`;

const CONFIG = {
  name: "config",
  type: "tuple",
  components: [
    { name: "payer", type: "address" },
    { name: "payerAuthorizer", type: "address" },
    { name: "receiver", type: "address" },
    { name: "receiverAuthorizer", type: "address" },
    { name: "token", type: "address" },
    { name: "withdrawDelay", type: "uint40" },
    { name: "salt", type: "bytes32" },
  ],
} as const;

const method = (name: string, inputs: readonly unknown[]) =>
  ({ type: "function", name, stateMutability: "nonpayable", inputs, outputs: [] }) as const;

/** The functions called, of ERC-20 and of x402's batch settlement. */
const ABI = [
  method("approve", [
    { name: "spender", type: "address" },
    { name: "value", type: "uint256" },
  ]),
  method("deposit", [
    CONFIG,
    { name: "amount", type: "uint128" },
    { name: "collector", type: "address" },
    { name: "collectorData", type: "bytes" },
  ]),
  method("initiateWithdraw", [CONFIG, { name: "amount", type: "uint128" }]),
  method("finalizeWithdraw", [CONFIG]),
] as unknown as Abi;

/** Where a call goes and its input. `authorization` is the EIP-3009 signature of a deposit. */
export async function encodeCall(call: OwnerCall, authorization: Hex | null): Promise<{ to: Hex; data: Hex }> {
  const [{ encodeData }, parameters] = await Promise.all([import("ox/AbiFunction"), import("ox/AbiParameters")]);
  const encode = (name: string, args: readonly unknown[]): Hex => encodeData(ABI, name, args);
  switch (call.kind) {
    case "approve":
      return { to: call.asset, data: encode("approve", [PERMIT2, call.amount]) };
    case "deposit": {
      const collectorData = parameters.encode(
        [{ type: "uint256" }, { type: "uint256" }, { type: "uint256" }, { type: "bytes" }],
        [0n, BigInt(call.validBefore), BigInt(DEPOSIT_SALT), authorization ?? "0x"],
      );
      return {
        to: CHANNELS,
        data: encode("deposit", [call.config, call.amount, DEPOSIT_COLLECTOR, collectorData]),
      };
    }
    case "withdraw":
      return { to: CHANNELS, data: encode("initiateWithdraw", [call.config, call.amount]) };
    case "finalize":
      return { to: CHANNELS, data: encode("finalizeWithdraw", [call.config]) };
    case "validation-request":
    case "validation-response":
      return encodeValidation(call);
    case "proof-record":
      return encodeProofRecord(call);
    case "roots-deploy":
    case "root-publish":
      return encodeRootCall(call);
    default:
      return call satisfies never;
  }
}
