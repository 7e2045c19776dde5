import { createHash } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const DEVNET = [
  { source: "DevUSD.sol", contract: "DevUSD", artifact: "dev-usd.artifact.ts", constant: "devUsd" },
  {
    source: "DevMulticall.sol",
    contract: "DevMulticall",
    artifact: "dev-multicall.artifact.ts",
    constant: "devMulticall",
  },
  { source: "DevPermit2.sol", contract: "DevPermit2", artifact: "dev-permit2.artifact.ts", constant: "devPermit2" },
  {
    source: "DevPermit2Proxies.sol",
    contract: "DevExactProxy",
    artifact: "dev-exact-proxy.artifact.ts",
    constant: "devExactProxy",
  },
  {
    source: "DevPermit2Proxies.sol",
    contract: "DevUptoProxy",
    artifact: "dev-upto-proxy.artifact.ts",
    constant: "devUptoProxy",
  },
  { source: "DevChannels.sol", contract: "DevChannels", artifact: "dev-channels.artifact.ts", constant: "devChannels" },
  {
    source: "DevChannels.sol",
    contract: "DevDepositCollector",
    artifact: "dev-deposit-collector.artifact.ts",
    constant: "devDepositCollector",
  },
  { source: "DevRelay.sol", contract: "DevRelay", artifact: "dev-relay.artifact.ts", constant: "devRelay" },
  {
    source: "DevTeeRegistry.sol",
    contract: "DevTeeRegistry",
    artifact: "dev-tee-registry.artifact.ts",
    constant: "devTeeRegistry",
  },
  {
    source: "DevTeeRegistry.sol",
    contract: "DevTeeRegistryOlder",
    artifact: "dev-tee-registry-older.artifact.ts",
    constant: "devTeeRegistryOlder",
  },
  {
    source: "DevValidationRegistry.sol",
    contract: "DevValidationRegistry",
    artifact: "dev-validation-registry.artifact.ts",
    constant: "devValidationRegistry",
  },
  {
    source: "DevGroth16Verifier.sol",
    contract: "DevGroth16Verifier",
    artifact: "dev-groth16-verifier.artifact.ts",
    constant: "devGroth16Verifier",
  },
] as const;
const POOL = [
  { source: "Pool.sol", contract: "TestToken", artifact: "test-token.artifact.ts", constant: "testToken" },
  { source: "Pool.sol", contract: "Pool", artifact: "pool.artifact.ts", constant: "pool" },
] as const;
const LOG_ROOTS = [
  { source: "LogRoots.sol", contract: "LogRoots", artifact: "log-roots.artifact.ts", constant: "logRoots" },
] as const;
/** The folders of contracts, each with what its sources are compiled to. */
export const FOLDERS = {
  "src/devnet/contracts": DEVNET,
  "examples/defi-bot": POOL,
  "src/chain/log-roots": LOG_ROOTS,
} as const;
/** Scripts run in the checkout, and tests of them, too. */
const ROOT = process.cwd();
const SETTINGS = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none" },
} as const;

type Output = {
  errors?: { severity: string; formattedMessage: string }[];
  contracts?: Record<
    string,
    Record<string, { abi: unknown[]; evm: { bytecode: { object: string }; deployedBytecode: { object: string } } }>
  >;
};

/** The generated module of each contract, by file name: what must stand in the folder. */
export async function compileContracts(folder: keyof typeof FOLDERS): Promise<Record<string, string>> {
  const directory = join(ROOT, folder);
  // solc is a CommonJS package without types; only its one function is used.
  const solc = createRequire(import.meta.url)("solc") as { compile: (input: string) => string; version: () => string };
  const files: Record<string, string> = {};
  for (const { source, contract, artifact, constant } of FOLDERS[folder]) {
    const content = await readFile(join(directory, source), "utf8");
    const input = {
      language: "Solidity",
      sources: { [source]: { content } },
      settings: {
        ...SETTINGS,
        outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
      },
    };
    const output = JSON.parse(solc.compile(JSON.stringify(input))) as Output;
    const errors = output.errors?.filter((error) => error.severity === "error") ?? [];
    const compiled = output.contracts?.[source]?.[contract];
    if (errors.length > 0 || compiled === undefined)
      throw new Error(errors.map((error) => error.formattedMessage).join("\n"));
    const body = {
      source,
      sourceSha256: createHash("sha256").update(content).digest("hex"),
      compiler: solc.version(),
      settings: SETTINGS,
      abi: compiled.abi,
      bytecode: `0x${compiled.evm.bytecode.object}`,
      runtime: `0x${compiled.evm.deployedBytecode.object}`,
    };
    files[artifact] =
      `/** Generated from ${source} by scripts/compile-contracts.ts. */\nexport const ${constant} = ${JSON.stringify(body, null, 2)} as const;\n`;
  }
  return files;
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const folder of Object.keys(FOLDERS) as (keyof typeof FOLDERS)[])
    for (const [name, text] of Object.entries(await compileContracts(folder)))
      await writeFile(join(ROOT, folder, name), text);
}
