import type { Abi } from "viem";
import { CHANNELS, DEPOSIT_COLLECTOR, type ChannelConfig } from "../evidence/channel.ts";
import { chainIdOf } from "../evidence/eip3009.ts";
import { PERMIT2 } from "../evidence/permit2.ts";
import { Proof402Error } from "../errors.ts";
import type { Chain } from "./chain.ts";
import { encodeProofRecord, type ProofCall } from "./proof-calls.ts";
import { encodeValidation, type ValidationCall } from "./validation-calls.ts";
import type { Wallet } from "./wallet.ts";

/** What only the owner's own commands have a wallet send. Amounts in base units. */
export type OwnerCall =
  /** Permit2 may move exactly this much. */
  | { kind: "approve"; asset: string; amount: bigint }
  /** Puts money into a channel, by an EIP-3009 authorization that the wallet makes for it and for nothing else. */
  | {
      kind: "deposit";
      config: ChannelConfig;
      channelId: string;
      amount: bigint;
      /** The token's EIP-712 domain. */
      domain: { name: string; version: string };
      /** 32 bytes of 0x hex: makes the authorization's nonce with the channel's id. */
      salt: string;
      /** Unix seconds. */
      validBefore: number;
    }
  /** Asks for unclaimed money back; it can be taken once the channel's delay is over. */
  | { kind: "withdraw"; config: ChannelConfig; amount: bigint }
  | { kind: "finalize"; config: ChannelConfig }
  /** Writes to the configured Validation Registry, which moves no money. */
  | ValidationCall
  /** Has a proof checked on chain, which moves no money. */
  | ProofCall;

/** EIP-1559 fees in wei, and the account's next nonce. */
export type Fees = {
  chainId: number;
  nonce: number;
  gas: bigint;
  maxFeePerGas: bigint;
  maxPriorityFeePerGas: bigint;
};

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

/** The longest that a transaction is waited for, seconds. */
const INCLUSION_SECONDS = 300;

/** Where a call goes and its input. `authorization` is the EIP-3009 signature of a deposit. */
export async function encodeCall(
  call: OwnerCall,
  authorization: `0x${string}` | null,
): Promise<{ to: `0x${string}`; data: `0x${string}` }> {
  const { encodeAbiParameters, encodeFunctionData } = await import("viem");
  const encode = (functionName: string, args: readonly unknown[]): `0x${string}` =>
    encodeFunctionData({ abi: ABI, functionName, args });
  switch (call.kind) {
    case "approve":
      return { to: hex(call.asset), data: encode("approve", [PERMIT2, call.amount]) };
    case "deposit": {
      const collectorData = encodeAbiParameters(
        [{ type: "uint256" }, { type: "uint256" }, { type: "uint256" }, { type: "bytes" }],
        [0n, BigInt(call.validBefore), BigInt(call.salt), authorization ?? "0x"],
      );
      return {
        to: hex(CHANNELS),
        data: encode("deposit", [call.config, call.amount, DEPOSIT_COLLECTOR, collectorData]),
      };
    }
    case "withdraw":
      return { to: hex(CHANNELS), data: encode("initiateWithdraw", [call.config, call.amount]) };
    case "finalize":
      return { to: hex(CHANNELS), data: encode("finalizeWithdraw", [call.config]) };
    case "validation-request":
    case "validation-response":
      return encodeValidation(call);
    case "proof-record":
      return encodeProofRecord(call);
    default:
      return call satisfies never;
  }
}

/**
 * Signs, sends and waits for one of the owner's transactions. Throws Proof402Error `transaction_failed` where the chain
 * turned it down or no gas can be paid, `wrong_chain` or `chain_unreachable`.
 */
export const sendOwnerCall = (
  chain: Chain,
  wallet: Wallet,
  call: OwnerCall,
): Promise<{ transaction: string; gasUsed: bigint }> =>
  chain.read(
    async (client) => {
      const from = hex(wallet.address);
      const authorization = call.kind === "deposit" ? await wallet.signDeposit(call, chainIdOf(chain.network)) : null;
      const target = await encodeCall(call, authorization);
      const [chainId, nonce, fees, gas] = await Promise.all([
        client.getChainId(),
        client.getTransactionCount({ address: from, blockTag: "pending" }),
        client.estimateFeesPerGas(),
        client.estimateGas({ account: from, ...target }).catch((error: unknown) => {
          throw failed(error);
        }),
      ]);
      const { maxFeePerGas, maxPriorityFeePerGas } = fees;
      const signed = await wallet.signOwnerCall(call, authorization, {
        chainId,
        nonce,
        gas: (gas * 6n) / 5n,
        maxFeePerGas,
        maxPriorityFeePerGas,
      });
      const transaction = await client.sendRawTransaction({ serializedTransaction: signed }).catch((error: unknown) => {
        throw failed(error);
      });
      const receipt = await client.waitForTransactionReceipt({ hash: transaction });
      if (receipt.status !== "success") throw failed(null);
      return { transaction, gasUsed: receipt.gasUsed };
    },
    { seconds: INCLUSION_SECONDS },
  );

const hex = (address: string): `0x${string}` => `0x${address.slice(2)}`;

const failed = (cause: unknown): Proof402Error =>
  new Proof402Error("transaction_failed", "The chain did not take the transaction.", {
    next: "Check that the wallet holds the chain's own coin for gas, and enough of the asset.",
    cause,
  });
