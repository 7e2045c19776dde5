import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { createNonceManager, createTestClient, http, publicActions, walletActions, type Abi, type Hex } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { foundry } from "viem/chains";
import { jsonRpc } from "viem/nonce";
import { lowered } from "../../../src/evidence/bytes.ts";

const load = createRequire(import.meta.url);
/** Anvil's first well-known account, which has ether. */
const FUNDED = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

type Compiled = { abi: Abi; bytecode: Hex };

let compiled: Compiled | undefined;
const compileToken = (): Compiled => (compiled ??= compile());

function compile(): Compiled {
  const solc = load("solc") as { compile: (input: string) => string };
  const content = readFileSync(join(import.meta.dirname, "token.sol"), "utf8");
  const input = {
    language: "Solidity",
    sources: { "token.sol": { content } },
    settings: {
      evmVersion: "cancun",
      optimizer: { enabled: true },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  };
  const output = JSON.parse(solc.compile(JSON.stringify(input))) as {
    contracts: Record<string, Record<string, { abi: Abi; evm: { bytecode: { object: string } } }>>;
  };
  const token = output.contracts["token.sol"]?.TestToken;
  if (token === undefined) throw new Error("the token did not compile");
  return { abi: token.abi, bytecode: `0x${token.evm.bytecode.object}` };
}

/** Someone else on the chain, who mines, moves the clock and submits what was signed. */
export async function openTestChain(rpcUrl: string) {
  // Its own count: the one that viem shares would carry nonces from one chain to the next.
  const account = privateKeyToAccount(FUNDED, { nonceManager: createNonceManager({ source: jsonRpc() }) });
  const client = createTestClient({
    mode: "anvil",
    account,
    chain: foundry,
    // Mining thousands of blocks takes longer than the default of ten seconds on a busy machine.
    transport: http(rpcUrl, { timeout: 60_000 }),
    pollingInterval: 20,
    cacheTime: 0,
  })
    .extend(publicActions)
    .extend(walletActions);
  const { abi, bytecode } = compileToken();
  const deployed = await client.waitForTransactionReceipt({ hash: await client.deployContract({ abi, bytecode }) });
  const token = deployed.contractAddress;
  if (token === null || token === undefined) throw new Error("the token was not deployed");
  /** Calls the token and returns the mined transaction's hash. */
  const call = async (functionName: string, args: readonly unknown[]): Promise<Hex> => {
    const hash = await client.writeContract({ address: token, abi, functionName, args });
    await client.waitForTransactionReceipt({ hash });
    return hash;
  };
  return { client, token: lowered(token), call };
}

export type TestChain = Awaited<ReturnType<typeof openTestChain>>;

/** A key that no other test uses. */
export const newKey = (): Hex => generatePrivateKey();
