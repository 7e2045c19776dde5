import {
  createTestClient,
  http,
  toEventSelector,
  toFunctionSelector,
  type AbiEvent,
  type AbiFunction,
  type Hex,
} from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { devValidationRegistry } from "../../src/devnet/contracts/dev-validation-registry.artifact.ts";
import { openBank, openValidationRegistry, startAnvil, type Anvil, type Bank } from "../../src/devnet/index.ts";
import { keccak256, toHex0x, utf8 } from "../../src/evidence/bytes.ts";
import { openChain, type Chain } from "../../src/chain/chain.ts";
import { VALIDATION_REGISTRY_ABI } from "../../src/chain/owner/validation-calls.ts";
import { postValidation, type Posting } from "../../src/chain/owner/validation.ts";
import { walletFromAccount, walletFromPrivateKey } from "../../src/payment/wallet.ts";
import { openDatabase, type Db } from "../../src/storage/database.ts";

let anvil: Anvil;
let bank: Bank;
let chain: Chain;
let registry: Hex;
let db: Db;
beforeAll(async () => {
  anvil = await startAnvil();
  db = await openDatabase(":memory:");
  bank = await openBank(anvil);
  registry = await openValidationRegistry(anvil, bank);
  chain = openChain({ network: "eip155:31337", rpcUrl: anvil.rpcUrl, confirmations: 0, pollMilliseconds: 20 });
});
afterAll(async () => {
  await db.destroy();
  await anvil.stop();
});

const word = (seed: string): Hex => toHex0x(keccak256(utf8(seed)));
const posting = (seed: string, changes: Partial<Posting> = {}): Posting => ({
  registry,
  agentId: 7n,
  uri: `urn:proof402:receipt:${seed}`,
  requestHash: word(`${seed} core`),
  response: 100,
  responseHash: word(`${seed} file`),
  tag: "proof402:attested:simulated",
  ...changes,
});
const gasOf = async (hash: string): Promise<bigint> =>
  (await bank.client.getTransactionReceipt({ hash: hash as Hex })).gasUsed;

describe("a verdict", () => {
  test("is asked for, answered and read back, and the gas is that of both transactions", async () => {
    const wallet = walletFromPrivateKey(await bank.fundedKey());
    const posted = await postValidation({ db, chain, wallet }, posting("one"));
    expect(posted.status).toMatchObject({
      validator: wallet.address,
      agentId: 7n,
      response: 100,
      responseHash: word("one file"),
      tag: "proof402:attested:simulated",
    });
    expect(posted.gasUsed).toBe((await gasOf(posted.requestTransaction!)) + (await gasOf(posted.transaction)));
    expect(
      await bank.client.readContract({
        address: registry,
        abi: devValidationRegistry.abi,
        functionName: "getAgentValidations",
        args: [7n],
      }),
    ).toContain(word("one core"));
  });

  test("that moved is posted again by the same validator, without another request", async () => {
    const wallet = walletFromAccount(privateKeyToAccount(await bank.fundedKey()));
    await postValidation({ db, chain, wallet }, posting("two"));
    const again = await postValidation(
      { db, chain, wallet },
      posting("two", { response: 0, responseHash: word("later") }),
    );
    expect(again).toMatchObject({ requestTransaction: null, status: { response: 0, responseHash: word("later") } });
    expect(again.gasUsed).toBe(await gasOf(again.transaction));
  });

  test("is nobody else's to give, nor of another agent", async () => {
    const wallet = walletFromPrivateKey(await bank.fundedKey());
    const other = walletFromPrivateKey(await bank.fundedKey());
    await postValidation({ db, chain, wallet }, posting("three"));
    await expect(postValidation({ db, chain, wallet: other }, posting("three", { response: 0 }))).rejects.toMatchObject(
      {
        code: "validation_taken",
      },
    );
    await expect(postValidation({ db, chain, wallet }, posting("three", { agentId: 8n }))).rejects.toMatchObject({
      code: "validation_taken",
    });
  });

  test("is not posted without gas, nor where there is no registry", async () => {
    const poor = walletFromPrivateKey(`0x${"11".repeat(32)}`);
    await expect(postValidation({ db, chain, wallet: poor }, posting("four"))).rejects.toMatchObject({
      code: "gas_missing",
    });
    const wallet = walletFromPrivateKey(await bank.fundedKey());
    await expect(
      postValidation({ db, chain, wallet }, posting("four", { registry: `0x${"12".repeat(20)}` })),
    ).rejects.toMatchObject({ code: "registry_missing" });
    await expect(
      postValidation({ db, chain, wallet }, posting("four", { registry: bank.token.address })),
    ).rejects.toMatchObject({ code: "transaction_failed" });
  });

  test("that a registry takes and does not keep is an error", async () => {
    const forgetful: Hex = `0x${"13".repeat(20)}`;
    // Answers every call with six zero words: no validator, whatever was written.
    await createTestClient({ chain: foundry, mode: "anvil", transport: http(anvil.rpcUrl) }).setCode({
      address: forgetful,
      bytecode: "0x60c06000f3",
    });
    const wallet = walletFromPrivateKey(await bank.fundedKey());
    await expect(postValidation({ db, chain, wallet }, posting("five", { registry: forgetful }))).rejects.toMatchObject(
      {
        code: "posting_not_kept",
      },
    );
  });
});

test("the interface is ERC-8004's, here and in the devnet's contract", () => {
  const functions = [
    "validationRequest(address,uint256,string,bytes32)",
    "validationResponse(bytes32,uint8,string,bytes32,string)",
    "getValidationStatus(bytes32)",
  ].map(toFunctionSelector);
  const selectorsOf = (abi: readonly { type: string }[]): string[] =>
    abi.filter((item): item is AbiFunction => item.type === "function").map((item) => toFunctionSelector(item));
  expect(selectorsOf(VALIDATION_REGISTRY_ABI)).toEqual(functions);
  expect(selectorsOf(devValidationRegistry.abi)).toEqual(expect.arrayContaining(functions));
  const events = (devValidationRegistry.abi as readonly { type: string }[])
    .filter((item): item is AbiEvent => item.type === "event")
    .map((item) => toEventSelector(item));
  expect(events.toSorted()).toEqual(
    [
      "ValidationRequest(address,uint256,string,bytes32)",
      "ValidationResponse(address,uint256,bytes32,uint8,string,bytes32,string)",
    ]
      .map(toEventSelector)
      .toSorted(),
  );
});
