import { concatBytes, fromHex0x, keccak256, toHex, toHex0x, uint256, utf8, type Address, type Hex } from "./bytes.ts";
import { addressWord } from "./eip3009.ts";
import { signerOf } from "./signer.ts";

/** Uniswap's Permit2, at the same address on every chain. */
export const PERMIT2 = "0x000000000022d473030f116ddee9f6b43ac78ba3";
/** x402's settlement contracts over Permit2: the only spenders that are ever signed for. */
export const EXACT_PROXY = "0x402085c248eea27d92e8b30b2c58ed07f9e20001";
export const UPTO_PROXY = "0x4020a4f3b7b90cca423b9fabcc0ce57c6c240002";

/**
 * A Permit2 `PermitWitnessTransferFrom` as x402 has it signed (scheme_exact_evm.md, scheme_upto_evm.md). Amounts in base
 * units, times in unix seconds. With a `facilitator` it is an upto permit: at most `amount`, and only that address may settle.
 */
export type TransferPermit = {
  token: Address;
  amount: string;
  /** uint256 as 32 bytes of 0x hex. */
  nonce: Hex;
  /** Last second in which it may be used. */
  deadline: number;
  to: Address;
  facilitator?: Address | undefined;
  validAfter: number;
};

const DOMAIN_TYPE = keccak256(utf8("EIP712Domain(string name,uint256 chainId,address verifyingContract)"));
const PERMISSIONS = "TokenPermissions(address token,uint256 amount)";
const EXACT_WITNESS = "Witness(address to,uint256 validAfter)";
const UPTO_WITNESS = "Witness(address to,address facilitator,uint256 validAfter)";

/** The spender a permit names: the exact proxy, or the upto proxy where a facilitator is bound. */
export const spenderOf = ({ facilitator }: Pick<TransferPermit, "facilitator">): Address =>
  facilitator === undefined ? EXACT_PROXY : UPTO_PROXY;

/**
 * The EIP-712 signing hash (EIP-712 §"encode") of a permit in Permit2's domain, 0x hex. Referenced struct types follow the
 * primary one in alphabetical order (§"Definition of encodeType").
 */
export function permitHash(chainId: number, permit: TransferPermit): Hex {
  const domainSeparator = keccak256(
    concatBytes(DOMAIN_TYPE, keccak256(utf8("Permit2")), uint256(chainId), addressWord(PERMIT2)),
  );
  const permitted = keccak256(
    concatBytes(keccak256(utf8(PERMISSIONS)), addressWord(permit.token), uint256(BigInt(permit.amount))),
  );
  const upto = permit.facilitator === undefined ? null : addressWord(permit.facilitator);
  const witnessType = upto === null ? EXACT_WITNESS : UPTO_WITNESS;
  const witness = keccak256(
    concatBytes(
      keccak256(utf8(witnessType)),
      addressWord(permit.to),
      ...(upto === null ? [] : [upto]),
      uint256(permit.validAfter),
    ),
  );
  const type = `PermitWitnessTransferFrom(TokenPermissions permitted,address spender,uint256 nonce,uint256 deadline,Witness witness)${PERMISSIONS}${witnessType}`;
  const structHash = keccak256(
    concatBytes(
      keccak256(utf8(type)),
      permitted,
      addressWord(spenderOf(permit)),
      fromHex0x(permit.nonce),
      uint256(permit.deadline),
      witness,
    ),
  );
  return toHex0x(keccak256(concatBytes(new Uint8Array([0x19, 0x01]), domainSeparator, structHash)));
}

/** A call as a transaction makes it, hex lower case. */
export type ContractCall = { to: string; input: string };

const settle = (parameters: string): string => toHex(keccak256(utf8(`settle(${parameters},bytes)`)).subarray(0, 4));
const PERMIT = "((address,uint256),uint256,uint256)";
const EXACT_SETTLE = settle(`${PERMIT},address,(address,uint256)`);
const UPTO_SETTLE = settle(`${PERMIT},uint256,address,(address,address,uint256)`);
/** Words before the signature's place: those of `settle`, all static, and the offset that points behind them. */
const EXACT_WORDS = 8;
const UPTO_WORDS = 10;

/** Characters of a call that count, `0x` included: selector, words, then length and three words of a 65-byte signature. */
const callLength = ({ facilitator }: Pick<TransferPermit, "facilitator">): number =>
  2 + 8 + 64 * ((facilitator === undefined ? EXACT_WORDS : UPTO_WORDS) + 4);

/** The part of a call's input about the settlement; the contract ignores bytes after it. */
export const settlingInput = (input: Hex, permit: TransferPermit): Hex => `0x${input.slice(2, callLength(permit))}`;

/**
 * What a call settles of this permit, base units, or null where it is not the settlement of it. Permit2 emits no event.
 * Only a call shows on chain that a permit was used: one straight to x402's contract. Its `settle` cannot succeed
 * without using up the permit in its arguments. The same words in any other call show nothing, since the seller holds
 * them too and may write them wherever it likes. The payer's signature, which the call carries, has to be over this
 * permit.
 *
 * Solidity ABI specification §"Formal Specification of the Encoding"; `settle` as @x402/evm calls it.
 */
export function settledByCall(
  call: ContractCall,
  { chainId, payer, permit }: { chainId: number; payer: string; permit: TransferPermit },
): bigint | null {
  const { facilitator } = permit;
  const requested = `0x${call.input.slice(2 + 8 + 64 * 4, 2 + 8 + 64 * 5)}`;
  if (call.to !== spenderOf(permit) || call.input.length < callLength(permit) || !/^0x[0-9a-f]{64}$/.test(requested))
    return null;
  const amount = BigInt(facilitator === undefined ? permit.amount : requested);
  const words = concatBytes(
    addressWord(permit.token),
    uint256(BigInt(permit.amount)),
    fromHex0x(permit.nonce),
    uint256(permit.deadline),
    ...(facilitator === undefined ? [] : [uint256(amount)]),
    addressWord(payer),
    addressWord(permit.to),
    ...(facilitator === undefined ? [] : [addressWord(facilitator)]),
    uint256(permit.validAfter),
    uint256(32 * (facilitator === undefined ? EXACT_WORDS : UPTO_WORDS)),
    uint256(65),
  );
  const head = `0x${facilitator === undefined ? EXACT_SETTLE : UPTO_SETTLE}${toHex(words)}`;
  const signature = call.input.slice(head.length, head.length + 130);
  const padding = call.input.slice(head.length + 130, callLength(permit));
  const settles =
    call.input.startsWith(head) &&
    /^0+$/.test(padding) &&
    amount <= BigInt(permit.amount) &&
    signerOf(`0x${signature}`, permitHash(chainId, permit)) === payer;
  return settles ? amount : null;
}
