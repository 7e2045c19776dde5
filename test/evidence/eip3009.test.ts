import fc from "fast-check";
import { encodeAbiParameters, encodeEventTopics, hashTypedData, parseAbi, type Hex } from "viem";
import { describe, expect, test } from "vitest";
import {
  addressWord,
  authorizationHash,
  chainIdOf,
  isAuthorizationUsed,
  readTransfer,
  type TokenDomain,
  type TokenLog,
} from "../../src/evidence/eip3009.ts";
import { toHex0x } from "../../src/evidence/bytes.ts";

const TYPES = {
  TransferWithAuthorization: [
    { name: "from", type: "address" },
    { name: "to", type: "address" },
    { name: "value", type: "uint256" },
    { name: "validAfter", type: "uint256" },
    { name: "validBefore", type: "uint256" },
    { name: "nonce", type: "bytes32" },
  ],
} as const;
const EVENTS = parseAbi([
  "event AuthorizationUsed(address indexed authorizer, bytes32 indexed nonce)",
  "event Transfer(address indexed from, address indexed to, uint256 value)",
]);

const hex0x = (bytes: number): fc.Arbitrary<Hex> => fc.uint8Array({ minLength: bytes, maxLength: bytes }).map(toHex0x);
const address = hex0x(20);
const word = hex0x(32);
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
const seconds = fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER });

test("an authorization hashes as viem hashes its typed data", () => {
  fc.assert(
    fc.property(
      fc.record({
        name: fc.string({ unit: "binary" }),
        version: fc.string(),
        chainId: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
        verifyingContract: address,
      }),
      fc.record({
        from: address,
        to: address,
        value: uint256,
        validAfter: seconds,
        validBefore: seconds,
        nonce: word,
      }),
      (domain, message) => {
        expect(authorizationHash(domain, { ...message, value: message.value.toString() })).toBe(
          hashTypedData({
            domain,
            types: TYPES,
            primaryType: "TransferWithAuthorization",
            message: {
              ...message,
              validAfter: BigInt(message.validAfter),
              validBefore: BigInt(message.validBefore),
            },
          }),
        );
      },
    ),
  );
});

test("a domain's hash is no other's, asked for right after it", () => {
  const domain: TokenDomain = { name: "USD", version: "1", chainId: 1, verifyingContract: `0x${"11".repeat(20)}` };
  const changes = [{ name: "USD1" }, { version: "2" }, { chainId: 2 }, { name: 'USD","1' }];
  const others = [...changes, { verifyingContract: `0x${"12".repeat(20)}` as const }].map((one) => ({
    ...domain,
    ...one,
  }));
  const [from, to, nonce] = [`0x${"22".repeat(20)}`, `0x${"33".repeat(20)}`, `0x${"44".repeat(32)}`] as const;
  const hashOf = (one: TokenDomain): string =>
    authorizationHash(one, { from, to, nonce, value: "1", validAfter: 0, validBefore: 1 });
  const hashes = others.flatMap((other) => [hashOf(domain), hashOf(other)]);
  expect(new Set(hashes)).toHaveLength(1 + others.length);
  expect(new Set(hashes.filter((_, at) => at % 2 === 0))).toHaveLength(1);
});

test("a value that does not fit 256 bits has no hash", () => {
  const domain: TokenDomain = { name: "USD Coin", version: "2", chainId: 1, verifyingContract: `0x${"11".repeat(20)}` };
  const message = {
    from: `0x${"22".repeat(20)}`,
    to: `0x${"33".repeat(20)}`,
    validAfter: 0,
    validBefore: 1,
    nonce: `0x${"44".repeat(32)}`,
  } as const;
  const hashOf = (value: string): string => authorizationHash(domain, { ...message, value });
  expect(hashOf((2n ** 256n - 1n).toString())).toMatch(/^0x[0-9a-f]{64}$/);
  expect(() => hashOf((2n ** 256n).toString())).toThrow(RangeError);
  expect(() => hashOf("-1")).toThrow(RangeError);
});

describe("a token's logs", () => {
  const used = (payer: Hex, nonce: Hex): TokenLog["topics"] =>
    encodeEventTopics({ abi: EVENTS, eventName: "AuthorizationUsed", args: { authorizer: payer, nonce } }) as Hex[];
  const moved = (from: Hex, to: Hex): TokenLog["topics"] =>
    encodeEventTopics({ abi: EVENTS, eventName: "Transfer", args: { from, to } }) as Hex[];
  const dataOf = (value: bigint): Hex => encodeAbiParameters([{ type: "uint256" }], [value]);

  test("are read as viem writes them", () => {
    fc.assert(
      fc.property(address, address, address, word, uint256, (token, from, to, nonce, value) => {
        expect(isAuthorizationUsed({ address: token, topics: used(from, nonce), data: "0x" }, token, from, nonce)).toBe(
          true,
        );
        expect(readTransfer({ address: token, topics: moved(from, to), data: dataOf(value) }, token)).toEqual({
          from,
          to,
          value,
        });
      }),
    );
  });

  const [token, other, payer, payee] = ["aa", "bb", "cc", "dd"].map((byte): Hex => `0x${byte.repeat(20)}`) as [
    Hex,
    Hex,
    Hex,
    Hex,
  ];
  const nonce: Hex = `0x${"ee".repeat(32)}`;

  test("of another token, payer or nonce use no authorization", () => {
    const log: TokenLog = { address: token, topics: used(payer, nonce), data: "0x" };
    expect(isAuthorizationUsed(log, token, payer, nonce)).toBe(true);
    expect(isAuthorizationUsed(log, other, payer, nonce)).toBe(false);
    expect(isAuthorizationUsed(log, token, payee, nonce)).toBe(false);
    expect(isAuthorizationUsed(log, token, payer, `0x${"ef".repeat(32)}`)).toBe(false);
    expect(isAuthorizationUsed({ ...log, topics: log.topics.slice(0, 2) }, token, payer, nonce)).toBe(false);
    expect(isAuthorizationUsed({ ...log, topics: [...log.topics, nonce] }, token, payer, nonce)).toBe(false);
    expect(isAuthorizationUsed({ ...log, topics: moved(payer, payee) }, token, payer, nonce)).toBe(false);
  });

  test("that are no ERC-20 transfer of this token record none", () => {
    const log: TokenLog = { address: token, topics: moved(payer, payee), data: dataOf(7n) };
    const [topic, from, to] = log.topics as [Hex, Hex, Hex];
    expect(readTransfer(log, token)?.value).toBe(7n);
    expect(readTransfer(log, other)).toBeNull();
    expect(readTransfer({ ...log, topics: used(payer, nonce) }, token)).toBeNull();
    // ERC-721 has the same topic and a fourth one instead of data.
    expect(readTransfer({ ...log, topics: [...log.topics, nonce], data: "0x" }, token)).toBeNull();
    expect(readTransfer({ ...log, data: `${log.data}00` }, token)).toBeNull();
    expect(readTransfer({ ...log, topics: [topic, from] }, token)).toBeNull();
    expect(readTransfer({ ...log, topics: [topic, `0x01${from.slice(4)}`, to] }, token)).toBeNull();
    expect(readTransfer({ ...log, topics: [topic, from, `0x01${to.slice(4)}`] }, token)).toBeNull();
  });
});

test("only an EVM network has a chain id", () => {
  expect(chainIdOf("eip155:8453")).toBe(8453);
  for (const network of ["eip155:0", "eip155:01", "eip155:", "solana:1", "eip155:1 ", "EIP155:1", "eip155:1e3", ""]) {
    expect(() => chainIdOf(network), network).toThrow(TypeError);
  }
});

test("an address that is not 20 bytes is not cut or padded into one", () => {
  expect(addressWord(`0x${"11".repeat(20)}`)).toHaveLength(32);
  expect(() => addressWord("0x1")).toThrow(Error);
  expect(() => addressWord("11".repeat(20))).toThrow(TypeError);
});
