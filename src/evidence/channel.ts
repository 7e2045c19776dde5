import {
  concatBytes,
  fromHex0x,
  keccak256,
  toHex0x,
  uint256,
  utf8,
  type Bytes,
  type Address,
  type Hex,
} from "./bytes.ts";
import { addressWord, domainSeparatorOf } from "./eip3009.ts";

/** x402's batch settlement and its collector of EIP-3009 deposits, at the same addresses on every chain. */
export const CHANNELS = "0x4020074e9df2ce1dee5a9c1b5c3f541d02a10003";
export const DEPOSIT_COLLECTOR = "0x4020806089470a89826cb9fb1f4059150b550004";

/** What a channel is, and is named by. Addresses as lower-case 0x hex, the delay in seconds, the salt 32 bytes of 0x hex. */
export type ChannelConfig = {
  payer: Address;
  payerAuthorizer: Address;
  receiver: Address;
  receiverAuthorizer: Address;
  token: Address;
  withdrawDelay: number;
  salt: Hex;
};

const CONFIG_TYPE = keccak256(
  utf8(
    "ChannelConfig(address payer,address payerAuthorizer,address receiver,address receiverAuthorizer,address token,uint40 withdrawDelay,bytes32 salt)",
  ),
);
const VOUCHER_TYPE = keccak256(utf8("Voucher(bytes32 channelId,uint128 maxClaimableAmount)"));

/** The newest chain's domain separator: channels are of one chain after another. */
let newest = { chainId: 0, separator: new Uint8Array() };

function separatorOf(chainId: number): Bytes {
  if (newest.chainId !== chainId) {
    const domain = { name: "x402 Batch Settlement", version: "1", chainId, verifyingContract: CHANNELS } as const;
    newest = { chainId, separator: fromHex0x(domainSeparatorOf(domain)) };
  }
  return newest.separator;
}

/** EIP-712 §"encode" in the contract's domain (scheme_batch_settlement_evm.md). */
const inDomain = (chainId: number, structHash: Bytes): Hex =>
  toHex0x(keccak256(concatBytes(new Uint8Array([0x19, 0x01]), separatorOf(chainId), structHash)));

/** A channel's id: the EIP-712 hash of its configuration, 0x hex. */
export const channelIdOf = (chainId: number, config: ChannelConfig): Hex =>
  inDomain(
    chainId,
    keccak256(
      concatBytes(
        CONFIG_TYPE,
        addressWord(config.payer),
        addressWord(config.payerAuthorizer),
        addressWord(config.receiver),
        addressWord(config.receiverAuthorizer),
        addressWord(config.token),
        uint256(config.withdrawDelay),
        fromHex0x(config.salt),
      ),
    ),
  );

/** The hash a voucher is signed by, 0x hex: the receiver may claim up to `cumulative` base units of the channel in all. */
export const voucherHash = (chainId: number, channelId: string, cumulative: string): Hex =>
  inDomain(chainId, keccak256(concatBytes(VOUCHER_TYPE, fromHex0x(channelId), uint256(BigInt(cumulative)))));
