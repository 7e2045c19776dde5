import fc from "fast-check";
import { encodeAbiParameters, encodeFunctionData, parseAbi, parseTransaction, stringToHex, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { describe, expect, it } from "vitest";
import { LOG_ROOTS } from "../../src/chain/log-roots/contract.ts";
import { encodeCall, type OwnerCall } from "../../src/chain/owner/calls.ts";
import { toHex0x } from "../../src/evidence/bytes.ts";
import { PERMIT2 } from "../../src/evidence/permit2.ts";
import { CHANNELS, DEPOSIT_COLLECTOR, type ChannelConfig } from "../../src/evidence/channel.ts";
import { walletFromAccount, walletFromPrivateKey } from "../../src/payment/wallet.ts";

// The functions as their authors write them, encoded by viem: ours are encoded by another library.
const CONFIG =
  "(address payer, address payerAuthorizer, address receiver, address receiverAuthorizer, address token, uint40 withdrawDelay, bytes32 salt) config";
const ABI = parseAbi([
  "function approve(address spender, uint256 value)",
  `function deposit(${CONFIG}, uint128 amount, address collector, bytes collectorData)`,
  `function initiateWithdraw(${CONFIG}, uint128 amount)`,
  `function finalizeWithdraw(${CONFIG})`,
  "function validationRequest(address validatorAddress, uint256 agentId, string requestURI, bytes32 requestHash)",
  "function validationResponse(bytes32 requestHash, uint8 response, string responseURI, bytes32 responseHash, string tag)",
  "function publish(bytes32 name, uint64 entries, bytes32 root)",
]);

const hexOf = (bytes: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: bytes, maxLength: bytes }).map((drawn) => toHex0x(drawn));
const uint = (bits: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: 2n ** BigInt(bits) - 1n });
const config: fc.Arbitrary<ChannelConfig> = fc.record({
  payer: hexOf(20),
  payerAuthorizer: hexOf(20),
  receiver: hexOf(20),
  receiverAuthorizer: hexOf(20),
  token: hexOf(20),
  withdrawDelay: fc.integer({ min: 0, max: 2 ** 40 - 1 }),
  salt: hexOf(32),
});
const text = fc.string({ unit: "grapheme", maxLength: 80 });

/** A call, where it goes, and what viem makes of it. `signature` is a deposit's authorization. */
const calls: Record<OwnerCall["kind"], fc.Arbitrary<[OwnerCall, string, (signature: Hex) => Hex]> | null> = {
  approve: fc
    .tuple(hexOf(20), uint(159))
    .map(([asset, amount]) => [
      { kind: "approve", asset, amount },
      asset,
      () => encodeFunctionData({ abi: ABI, functionName: "approve", args: [PERMIT2, amount] }),
    ]),
  deposit: fc
    .tuple(config, hexOf(32), uint(128), fc.integer({ min: 0, max: 2 ** 40 }))
    .map(([terms, channelId, amount, validBefore]) => [
      { kind: "deposit", config: terms, channelId, amount, domain: { name: "USD Coin", version: "2" }, validBefore },
      CHANNELS,
      (signature) => {
        const words = [{ type: "uint256" }, { type: "uint256" }, { type: "uint256" }, { type: "bytes" }] as const;
        const data = encodeAbiParameters(words, [0n, BigInt(validBefore), 0n, signature]);
        const args = [terms as never, amount, DEPOSIT_COLLECTOR as Hex, data] as const;
        return encodeFunctionData({ abi: ABI, functionName: "deposit", args });
      },
    ]),
  withdraw: fc
    .tuple(config, uint(128))
    .map(([terms, amount]) => [
      { kind: "withdraw", config: terms, amount },
      CHANNELS,
      () => encodeFunctionData({ abi: ABI, functionName: "initiateWithdraw", args: [terms as never, amount] }),
    ]),
  finalize: config.map((terms) => [
    { kind: "finalize", config: terms },
    CHANNELS,
    () => encodeFunctionData({ abi: ABI, functionName: "finalizeWithdraw", args: [terms as never] }),
  ]),
  "validation-request": fc
    .tuple(hexOf(20), hexOf(20), uint(256), text, hexOf(32))
    .map(([registry, validator, agentId, uri, requestHash]) => [
      { kind: "validation-request", registry, validator, agentId, uri, requestHash },
      registry,
      () =>
        encodeFunctionData({
          abi: ABI,
          functionName: "validationRequest",
          args: [validator, agentId, uri, requestHash],
        }),
    ]),
  "validation-response": fc
    .tuple(hexOf(20), hexOf(32), fc.constantFrom(0 as const, 100 as const), text, hexOf(32), text)
    .map(([registry, requestHash, response, uri, responseHash, tag]) => [
      { kind: "validation-response", registry, requestHash, response, uri, responseHash, tag },
      registry,
      () =>
        encodeFunctionData({
          abi: ABI,
          functionName: "validationResponse",
          args: [requestHash, response, uri, responseHash, tag],
        }),
    ]),
  "root-publish": fc
    .tuple(fc.string({ unit: "grapheme-ascii", minLength: 1, maxLength: 31 }), fc.maxSafeNat(), hexOf(32))
    .map(([name, entries, root]) => [
      { kind: "root-publish", name, entries, root: root.slice(2) },
      LOG_ROOTS,
      () =>
        encodeFunctionData({
          abi: ABI,
          functionName: "publish",
          args: [stringToHex(name, { size: 32 }), BigInt(entries), root],
        }),
    ]),
  // Checked by the chain itself, in tests of their own.
  "proof-record": null,
  "roots-deploy": null,
};

const fees = fc.record({
  chainId: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  nonce: fc.nat(),
  gas: uint(64),
  maxFeePerGas: uint(128).map((fee) => fee + 2n ** 64n),
  maxPriorityFeePerGas: uint(64),
});
const key = hexOf(32).filter((drawn) => BigInt(drawn) > 0n && BigInt(drawn) < 2n ** 255n);

describe("an owner's call", () => {
  it.each(Object.entries(calls).flatMap(([kind, drawn]) => (drawn === null ? [] : [[kind, drawn] as const])))(
    "%s is written as viem writes it, and signed by a key as by an account of viem",
    async (_kind, drawn) => {
      const property = fc.asyncProperty(
        drawn,
        hexOf(65),
        fees,
        key,
        async ([call, to, encoded], signature, fee, own) => {
          const data = encoded(signature);
          expect(await encodeCall(call, signature)).toEqual({ to, data });
          const raw = await walletFromPrivateKey(own).signOwnerCall(call, signature, fee);
          expect(raw).toBe(await walletFromAccount(privateKeyToAccount(own)).signOwnerCall(call, signature, fee));
          // What is zero or empty is left out.
          const { value = 0n, nonce = 0, gas = 0n, maxPriorityFeePerGas = 0n, ...read } = parseTransaction(raw);
          expect({ ...read, value, nonce, gas, maxPriorityFeePerGas }).toMatchObject({ ...fee, to, data, value: 0n });
        },
      );
      await fc.assert(property, { numRuns: 100 });
    },
  );
});
