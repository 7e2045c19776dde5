import { spawn, type ChildProcess } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { checkTrades } from "../../examples/defi-bot/check.ts";
import { deployFor } from "../../examples/defi-bot/deploy.ts";
import { readSettings } from "../../examples/defi-bot/settings.ts";
import { openBuyer } from "../../src/buyer/open.ts";
import { loadConfig } from "../../src/config/load.ts";
import { writeDevnet } from "../../src/devnet/index.ts";
import { cases, isBrief } from "../support/campaign.ts";
import { openMarket, writeVariant, type Market } from "../support/devnet.ts";
import { eventually } from "../support/eventually.ts";
import { gate } from "../support/gate.ts";
import { infront } from "../support/infront.ts";
import { rpcInFront } from "../support/rpc.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const built = (name: string): string => join(root, "dist/examples/defi-bot", `${name}.js`);

let market: Market;
let config: string;
beforeAll(async () => {
  market = await openMarket({ proving: true });
  ({ config } = await writeDevnet(market.devnet, market.directory));
});
const children: ChildProcess[] = [];
afterAll(async () => {
  for (const child of children) child.kill("SIGKILL");
  await market.stop();
});

/** A bot's process, and what it said. */
type Running = { child: ChildProcess; said: () => string; ended: Promise<number | null> };

function start(args: readonly string[], configPath: string): Running {
  const env = { PATH: process.env["PATH"], PROOF402_CONFIG: configPath, NO_COLOR: "1" };
  const child = spawn(process.execPath, args, { cwd: market.directory, env, stdio: ["ignore", "pipe", "pipe"] });
  children.push(child);
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream?.on("data", (text: Buffer) => (said += text.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", (code) => resolve(code)));
  return { child, said: () => said, ended };
}

/** Waits until a bot has said these words. One that ends instead will not say them any more. */
const says = (bot: Running, words: string): Promise<void> =>
  Promise.race([
    eventually(() => expect(bot.said()).toContain(words)),
    bot.ended.then(() => expect(bot.said()).toContain(words)),
  ]);

async function killOnce(bot: Running, words: string): Promise<void> {
  await says(bot, words);
  bot.child.kill("SIGKILL");
  await bot.ended;
}

test("defi-bot: through lies, a dry budget, a dead chain, a slow proof and kills, each trade on chain has its one verified receipt", async () => {
  // A chain that can fall silent, and that can take an order and say nothing of it.
  let chain: "up" | "losing answers" | "down" = "up";
  const rpc = await rpcInFront(market.devnet.rpcUrl, async ({ method }, honest) => {
    if (chain === "losing answers" && method === "eth_sendRawTransaction") {
      await honest();
      chain = "down";
    }
    return chain === "down" ? { status: 502 } : undefined;
  });
  const proof = gate();
  const prover = await infront(market.devnet.sellers.prover!.origin, async (path) => {
    if (path.startsWith("/v1/proofs/")) await proof.opened;
    return null;
  });
  // The seller that changes answers stays. A forged proof costs a proof: the demo has one.
  let cap = "20000";
  const write = (): Promise<string> =>
    writeVariant(config, join(market.directory, "faulty.json"), (written) => {
      written.database = "faulty.db";
      written.networks[0]!.rpcUrl = rpc.url;
      Object.assign(written.payment.assets[0]!, { perCall: cap, perHour: cap });
      written.sellers = (written.sellers ?? []).filter(({ id }) => ["tampering", "honest", "prover"].includes(id));
      for (const seller of written.sellers) if (seller.id === "prover") seller.origin = prover.origin;
    });
  const faulty = await write();
  const rounds = cases(2, 5);
  const file = await deployFor(faulty, market.directory, { seed: 3, firstDay: 74, rounds });
  const limit = async (limits: object): Promise<void> => {
    const written = JSON.parse(await readFile(file, "utf8")) as { limits: object };
    Object.assign(written.limits, limits);
    await writeFile(file, JSON.stringify(written));
  };
  await limit({ provenAboveEth: "500000000000000000" });
  const run = (): Running => start([built("run"), file], faulty);

  // 1. The chain takes an order, loses its answer and is gone. Later it tells that the order has traded.
  chain = "losing answers";
  const first = run();
  await killOnce(first, "waits: the chain");
  expect(first.said()).toContain("as that of tampering is failed");
  chain = "up";
  // The next process finds the answer too old to trade on, and the trade that was made on it in time.
  await limit({ maxAgeSeconds: 1 });
  const second = run();
  await says(second, "an order of before is done");
  await says(second, "day 74: buy 0.5 ETH, attested, by honest");

  // 2. The budget was for the one lie and the one answer.
  await says(second, "TOP UP: over_hour_cap");
  const [, url = ""] = /metrics: (\S+)/.exec(second.said()) ?? [];
  const metrics = (await (await fetch(url)).text()).split("\n");
  for (const shown of ["top_up 1", "waiting 1", 'rounds{outcome="traded"} 1', "position_eth 0.5", "starts 2"])
    expect(metrics).toContain(`defi_bot_${shown}`);
  second.child.kill("SIGKILL");
  await second.ended;
  await limit({ maxAgeSeconds: 300 });
  cap = "5000000";
  await write();

  // 3. The next position needs a proof, which does not come.
  await killOnce(run(), "waits: the proof of prover is under way");
  const settings = await readSettings(file);
  const buyer = await openBuyer({ config: await loadConfig({ path: faulty }), wallet: null });
  try {
    expect(await checkTrades(settings, buyer)).toEqual({ swaps: 1, problems: [] });
    proof.open();

    // 4. Killed at any moment.
    for (let kill = 0; kill < cases(1, 40, 2); kill += 1) {
      const bot = run();
      await says(bot, "metrics:");
      await sleep(Math.random() * 600);
      bot.child.kill("SIGKILL");
      await bot.ended;
    }
    const last = run();
    expect(await last.ended, last.said()).toBe(0);

    const trades = ["buy 0.5 ETH", "buy 0.5 ETH", "held: class 1", "sell 0.5 ETH", "sell 0.5 ETH"].slice(0, rounds);
    const swaps = trades.filter((trade) => trade.endsWith("ETH")).length;
    expect(await checkTrades(settings, buyer)).toEqual({ swaps, problems: [] });
    const decisions = (await buyer.decisions({ purpose: settings.name })).toReversed();
    expect(decisions.map(({ subject, outcome }) => `${subject}: ${outcome}`)).toEqual(
      trades.map((trade, at) => `day ${74 + at}: ${trade}`),
    );
    const orders = decisions.map(({ action }) => (action as { order?: string }).order).filter((id) => id !== undefined);
    expect(new Set(orders).size).toBe(swaps);
  } finally {
    await buyer.close();
    await prover.stop();
  }
});

test.skipIf(isBrief)("defi-bot: its one command prints what its README says", async () => {
  const readme = await readFile(join(root, "examples/defi-bot/README.md"), "utf8");
  const [, claimed = ""] = /^```text\n([\s\S]*?)\n```/m.exec(readme) ?? [];
  const bot = start([built("demo")], config);
  expect(await bot.ended, bot.said()).toBe(0);
  const escaped = claimed
    .split(/^\.\.\.$/m)
    .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\.\\.\\.", ".+"));
  // A line of dots stands for any number of lines.
  expect(bot.said()).toMatch(new RegExp(`^${escaped.join("[^]*")}\n$`));
});
