import { concatBytes, fromHex0x, keccak256, toHex, toHex0x, uint256, utf8 } from "./bytes.ts";
import { addressWord } from "./eip3009.ts";

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
  token: string;
  amount: string;
  /** uint256 as 32 bytes of 0x hex. */
  nonce: string;
  /** Last second in which it may be used. */
  deadline: number;
  to: string;
  facilitator?: string;
  validAfter: number;
};

const DOMAIN_TYPE = keccak256(utf8("EIP712Domain(string name,uint256 chainId,address verifyingContract)"));
const PERMISSIONS = "TokenPermissions(address token,uint256 amount)";
const EXACT_WITNESS = "Witness(address to,uint256 validAfter)";
const UPTO_WITNESS = "Witness(address to,address facilitator,uint256 validAfter)";

/** The spender a permit names: the exact proxy, or the upto proxy where a facilitator is bound. */
export const spenderOf = ({ facilitator }: Pick<TransferPermit, "facilitator">): string =>
  facilitator === undefined ? EXACT_PROXY : UPTO_PROXY;

/**
 * The EIP-712 signing hash (EIP-712 §"encode") of a permit in Permit2's domain, 0x hex. Referenced struct types follow the
 * primary one in alphabetical order (§"Definition of encodeType").
 */
export function permitHash(chainId: number, permit: TransferPermit): `0x${string}` {
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

/**
 * Whether a transaction's input settles this permit: Permit2 emits no event, so what names the permit on chain is the ABI
 * encoding of its `PermitTransferFrom` (token, amount, nonce, deadline: four static words in a row, Solidity ABI
 * specification §"Formal Specification of the Encoding"). The nonce is unguessable, so no other transaction holds it.
 */
export function settlesPermit(
  input: string,
  permit: Pick<TransferPermit, "token" | "amount" | "nonce" | "deadline">,
): boolean {
  const words = concatBytes(
    addressWord(permit.token),
    uint256(BigInt(permit.amount)),
    fromHex0x(permit.nonce),
    uint256(permit.deadline),
  );
  const at = input.indexOf(toHex(words));
  // A word boundary behind the four bytes of a selector, wherever a wrapping call may have put it.
  return at >= 0 && at % 2 === 0;
}
