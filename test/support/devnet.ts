import { access, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { openChain } from "../../src/chain/chain.ts";
import { configSchema, type Config, type ConfigInput } from "../../src/config/schema.ts";
import { startDevnet, type Devnet, type DevnetOptions } from "../../src/devnet/index.ts";
import { approvePermit2 } from "../../src/payment/allowance.ts";
import { openDatabase } from "../../src/storage/database.ts";
import { eventually } from "./eventually.ts";
import { placeOf } from "./database-place.ts";

/** A devnet and the directory its buyers keep their files in. */
export type Market = {
  devnet: Devnet;
  directory: string;
  /** A complete configuration with a database of its own. */
  config(change?: (config: Config) => void): Config;
  buyer(change?: (config: Config) => void): Promise<Buyer>;
  stop(): Promise<void>;
};

/** Where a run keeps the setups of its proving markets, which take 8 s of CPU to make. */
const SETUPS = join(process.env["PROOF402_TEST_RUN"] ?? "", "setups");

/** A folder with the setups that the run has made so far, or null. */
export const setupsSoFar = (): Promise<string | null> =>
  access(`${SETUPS}-ended`).then(
    () => SETUPS,
    () => null,
  );

/** Starts a market that proves. The first of a run makes the setups, and the others wait for them. */
async function startProving(options: DevnetOptions): Promise<Devnet> {
  const first = await mkdir(`${SETUPS}-begun`).then(
    () => true,
    () => false,
  );
  if (!first) await eventually(() => access(`${SETUPS}-ended`));
  try {
    return await startDevnet({ ...options, proving: { keptIn: SETUPS } });
  } finally {
    await mkdir(`${SETUPS}-ended`, { recursive: true });
  }
}

/** Starts a market; buyers opened through it are closed with it. */
export async function openMarket(options: DevnetOptions = {}): Promise<Market> {
  const [devnet, directory] = await Promise.all([
    options.proving === true ? startProving(options) : startDevnet(options),
    mkdtemp(join(tmpdir(), "proof402-test-")),
  ]);
  const buyers: Buyer[] = [];
  let count = 0;
  const config = (change?: (config: Config) => void): Config => {
    count += 1;
    const parsed = configSchema.parse({ ...devnet.settings, database: placeOf(join(directory, `buyer-${count}.db`)) });
    change?.(parsed);
    return parsed;
  };
  return {
    devnet,
    directory,
    config,
    async buyer(change) {
      const buyer = await openBuyer({ config: config(change), wallet: devnet.wallet });
      buyers.push(buyer);
      return buyer;
    },
    async stop() {
      await Promise.all(buyers.map((buyer) => buyer.close()));
      await devnet.stop();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Lets Permit2 move the wallet's OPG: a market's gateway is paid by it. */
export async function approveGateway({ devnet }: Market): Promise<void> {
  const { config, wallet } = devnet;
  const [network] = config.networks;
  const asset = config.payment.assets.find(({ symbol }) => symbol === "OPG");
  if (network === undefined || asset === undefined) throw new Error("this market has no gateway");
  const db = await openDatabase(":memory:");
  await approvePermit2({ db, chain: openChain(network), wallet, asset, amount: BigInt(asset.total) });
  await db.destroy();
}

/** Writes a configuration with a change to a path, which may be its own. Returns the path. */
export async function writeVariant(
  config: string,
  path: string,
  change: (written: ConfigInput) => void,
): Promise<string> {
  const written = JSON.parse(await readFile(config, "utf8")) as ConfigInput;
  change(written);
  await writeFile(path, JSON.stringify(written));
  return path;
}

/** Features that `eth-risk` takes. */
export const ETH_FEATURES = { features: [-0.012, -0.034, -0.081, 0.62, 0.74, -0.19, 1.8, 0.21] };
