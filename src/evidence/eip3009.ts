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

/** EIP-3009 `transferWithAuthorization` message. Amounts in base units, times in unix seconds. */
export type TransferAuthorization = {
  from: Address;
  to: Address;
  value: string;
  validAfter: number;
  validBefore: number;
  /** 32 bytes, 0x hex. */
  nonce: Hex;
};

/** EIP-712 domain of an EIP-3009 token. */
export type TokenDomain = { name: string; version: string; chainId: number; verifyingContract: Address };

const DOMAIN_TYPE = keccak256(
  utf8("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"),
);
const FIELDS = "(address from,address to,uint256 value,uint256 validAfter,uint256 validBefore,bytes32 nonce)";
const TYPES = {
  TransferWithAuthorization: keccak256(utf8(`TransferWithAuthorization${FIELDS}`)),
  ReceiveWithAuthorization: keccak256(utf8(`ReceiveWithAuthorization${FIELDS}`)),
} as const;

/** keccak256("AuthorizationUsed(address,bytes32)"), both arguments indexed (EIP-3009). */
export const AUTHORIZATION_USED_TOPIC = toHex0x(keccak256(utf8("AuthorizationUsed(address,bytes32)")));
/** keccak256("Transfer(address,address,uint256)") (ERC-20). */
export const TRANSFER_TOPIC = toHex0x(keccak256(utf8("Transfer(address,address,uint256)")));

/** The numeric chain id of a CAIP-2 `eip155:` network. Throws TypeError on any other. */
export function chainIdOf(network: string): number {
  const match = /^eip155:([1-9][0-9]{0,15})$/.exec(network);
  if (match === null) throw new TypeError(`not an EVM network: ${network}`);
  return Number(match[1]);
}

/** A 20-byte address as a 32-byte ABI word. */
export const addressWord = (address: string): Bytes => concatBytes(new Uint8Array(12), fromHex0x(address));

/** The separator of a token's EIP-712 domain (EIP-712 §"Definition of domainSeparator"), 0x hex. */
export const domainSeparatorOf = (domain: TokenDomain): Hex =>
  toHex0x(
    keccak256(
      concatBytes(
        DOMAIN_TYPE,
        keccak256(utf8(domain.name)),
        keccak256(utf8(domain.version)),
        uint256(domain.chainId),
        addressWord(domain.verifyingContract),
      ),
    ),
  );

/** The newest domain's separator: authorizations are checked one after another of one token. */
let newest = { domain: "", separator: new Uint8Array() };

function separatorOf(domain: TokenDomain): Bytes {
  const { name, version, chainId, verifyingContract } = domain;
  const key = JSON.stringify([name, version, chainId, verifyingContract]);
  if (newest.domain !== key) newest = { domain: key, separator: fromHex0x(domainSeparatorOf(domain)) };
  return newest.separator;
}

/** The EIP-712 signing hash (EIP-712 §"encode") of an authorization in the token's domain, 0x hex. One to be received can only be submitted by its payee. */
export function authorizationHash(
  domain: TokenDomain,
  message: TransferAuthorization,
  primaryType: keyof typeof TYPES = "TransferWithAuthorization",
): Hex {
  const structHash = keccak256(
    concatBytes(
      TYPES[primaryType],
      addressWord(message.from),
      addressWord(message.to),
      uint256(BigInt(message.value)),
      uint256(message.validAfter),
      uint256(message.validBefore),
      fromHex0x(message.nonce),
    ),
  );
  return toHex0x(keccak256(concatBytes(new Uint8Array([0x19, 0x01]), separatorOf(domain), structHash)));
}

/** A log as a chain returns it, hex lower case. */
export type TokenLog = { address: Address; topics: Hex[]; data: Hex };

/** Whether the log says that `payer` used exactly this authorization nonce at this token. */
export const isAuthorizationUsed = (log: TokenLog, token: string, payer: string, nonce: string): boolean =>
  log.address === token &&
  log.topics.length === 3 &&
  log.topics[0] === AUTHORIZATION_USED_TOPIC &&
  log.topics[1] === toHex0x(addressWord(payer)) &&
  log.topics[2] === nonce;

/** The ERC-20 transfer a log of `token` records, or null where it records none. */
export function readTransfer(log: TokenLog, token: string): { from: Address; to: Address; value: bigint } | null {
  const [topic, from, to] = log.topics;
  if (log.address !== token || log.topics.length !== 3 || topic !== TRANSFER_TOPIC || log.data.length !== 66)
    return null;
  if (!from?.startsWith(`0x${"0".repeat(24)}`) || !to?.startsWith(`0x${"0".repeat(24)}`)) return null;
  return { from: `0x${from.slice(26)}`, to: `0x${to.slice(26)}`, value: BigInt(log.data) };
}
