import { randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { createPublicClient, createWalletClient, defineChain, http, parseEther, type Address, type Hex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { pool as poolContract } from "./pool.artifact.ts";
import { createSeries, WARM_UP } from "./price.ts";
import { testToken } from "./test-token.artifact.ts";

const ETHER = 10n ** 18n;
/** What the pool and the trader begin with. */
const POOL_ETH = 1000n * ETHER;
const TRADER_USD = 10_000_000_000n;

/** What the market's configuration says of its chain and of the key that has coins for gas. */
type Written = { networks: [{ network: string; rpcUrl: string }]; wallet: { privateKeyFile: string } };

/**
 * Puts two test tokens and a pool on a devnet's chain, with the pool at the series' price of the first day, and writes the
 * bot's key and its `bot.json` into a folder. Returns the file's path.
 */
export async function deployFor(
  configPath: string,
  folder: string,
  { seed, firstDay, rounds, ...more }: { seed: number; firstDay: number; rounds: number; rpcUrl?: string },
): Promise<string> {
  const { networks, wallet } = JSON.parse(await readFile(configPath, "utf8")) as Written;
  const [{ network, rpcUrl }] = networks;
  const id = Number(network.split(":")[1]);
  const keyFile = resolve(dirname(configPath), wallet.privateKeyFile);
  const owner = privateKeyToAccount((await readFile(keyFile, "utf8")).trim() as Hex);
  const chain = defineChain({
    id,
    name: "devnet",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpcUrl] } },
  });
  const client = createPublicClient({ chain, transport: http(rpcUrl), pollingInterval: 20 });
  const sender = createWalletClient({ account: owner, chain, transport: http(rpcUrl) });
  const key: Hex = `0x${randomBytes(32).toString("hex")}`;
  const trader = privateKeyToAccount(key);
  const done = (hash: Hex) => client.waitForTransactionReceipt({ hash });
  const deploy = async (hash: Hex): Promise<Address> => {
    const { contractAddress } = await done(hash);
    if (contractAddress == null) throw new Error("the contract was not deployed");
    return contractAddress;
  };
  const token = async (symbol: string, decimals: number): Promise<Address> =>
    deploy(await sender.deployContract({ ...testToken, args: [symbol, decimals] }));
  const [eth, usd] = [await token("tETH", 18), await token("tUSD", 6)];
  const pool = await deploy(await sender.deployContract({ ...poolContract, args: [eth, usd] }));
  const price =
    createSeries(seed)
      .upTo(WARM_UP + 24 * firstDay)
      .at(-1)?.price ?? 0n;
  const reserves = [
    [eth, POOL_ETH],
    [usd, (POOL_ETH * price) / ETHER],
  ] as const;
  for (const [address, amount] of reserves) {
    const at = { address, abi: testToken.abi } as const;
    await done(await sender.writeContract({ ...at, functionName: "mint", args: [owner.address, amount] }));
    await done(await sender.writeContract({ ...at, functionName: "approve", args: [pool, amount] }));
  }
  const add = [reserves[0][1], reserves[1][1]] as const;
  await done(await sender.writeContract({ address: pool, abi: poolContract.abi, functionName: "add", args: add }));
  await done(await sender.sendTransaction({ to: trader.address, value: parseEther("10") }));
  const mint = [trader.address, TRADER_USD] as const;
  await done(await sender.writeContract({ address: usd, abi: testToken.abi, functionName: "mint", args: mint }));
  const asTrader = createWalletClient({ account: trader, chain, transport: http(rpcUrl) });
  for (const address of [eth, usd]) {
    const args = [pool, 2n ** 255n] as const;
    await done(await asTrader.writeContract({ address, abi: testToken.abi, functionName: "approve", args }));
  }
  await writeFile(join(folder, "trader.key"), `${key}\n`, { mode: 0o600, flag: "wx" });
  const settings = {
    name: `defi-bot-${randomBytes(4).toString("hex")}`,
    chain: { rpcUrl: more.rpcUrl ?? rpcUrl, id },
    pool,
    traderKeyFile: "trader.key",
    database: "bot.db",
    seed,
    firstDay,
    rounds,
    everySeconds: 0.05,
    limits: {
      stepEth: (ETHER / 2n).toString(),
      positionEth: (2n * ETHER).toString(),
      provenAboveEth: ETHER.toString(),
      slippageBps: 50,
      maxAgeSeconds: 300,
      answers: 4,
    },
    topUpBelow: "500000",
    metricsPort: 0,
  };
  const path = join(folder, "bot.json");
  await writeFile(path, JSON.stringify(settings, null, 2), { flag: "wx" });
  return path;
}
