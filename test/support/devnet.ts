import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openBuyer } from "../../src/buyer/open.ts";
import type { Buyer } from "../../src/buyer/types.ts";
import { configSchema, type Config, type ConfigInput } from "../../src/config/schema.ts";
import { startDevnet, type Devnet, type DevnetOptions } from "../../src/devnet/index.ts";

/** A devnet and the directory its buyers keep their files in. */
export type Market = {
  devnet: Devnet;
  directory: string;
  /** A complete configuration with a database of its own. */
  config(change?: (config: Config) => void): Config;
  buyer(change?: (config: Config) => void): Promise<Buyer>;
  stop(): Promise<void>;
};

/** One place per process of the run: none reads what another is writing. */
const SETUPS = join(process.env["PROOF402_TEST_RUN"] ?? "", `setups-${process.env["VITEST_POOL_ID"]}`);

/** Starts a market; buyers opened through it are closed with it. */
export async function openMarket(options: DevnetOptions = {}): Promise<Market> {
  const { proving } = options;
  const kept = proving === true ? { proving: { keptIn: SETUPS } } : {};
  const [devnet, directory] = await Promise.all([
    startDevnet({ ...options, ...kept }),
    mkdtemp(join(tmpdir(), "proof402-test-")),
  ]);
  const buyers: Buyer[] = [];
  let count = 0;
  const config = (change?: (config: Config) => void): Config => {
    count += 1;
    const parsed = configSchema.parse({ ...devnet.settings, database: join(directory, `buyer-${count}.db`) });
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
