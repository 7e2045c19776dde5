import { execFile } from "node:child_process";
import { mkdtemp, readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { loadConfig, openBuyer, serializeReport, type Buyer, type Receipt, type Report } from "proof402";
import { startDevnet, writeDevnet, type Devnet } from "proof402/devnet";
import { backtest } from "./backtest.ts";
import { checkTrades } from "./check.ts";
import { deployFor } from "./deploy.ts";
import { readSettings } from "./settings.ts";
import { supervise } from "./supervise.ts";

/** Days of the invented year that show a rise, and a fall after it. */
const DEMO = { seed: 3, firstDay: 74, rounds: 5 };
const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));
const here = join(root, "dist", "examples", "defi-bot");

const folder = await mkdtemp(resolve("proof402-demo-defi-"));
// With PROOF402_CONFIG the market of that configuration is used. It has to prove: `proof402 devnet` does.
const given = process.env["PROOF402_CONFIG"];
const market = given === undefined ? await startDevnet({ proving: true }) : null;
try {
  const config = given === undefined ? (await writeDevnet(market as Devnet, folder)).config : resolve(given);
  const file = await deployFor(config, folder, DEMO);
  const env = { ...process.env, PROOF402_CONFIG: config, NO_COLOR: "1" };
  await runBot(file, env);
  await using buyer = await openBuyer({ config: await loadConfig({ path: config }), wallet: null });
  const settings = await readSettings(file);
  const { swaps, problems } = await checkTrades(settings, buyer);
  console.log(
    `the chain has ${swaps} trades, each of one verified receipt: ${problems.join("; ") || "nothing is wrong"}`,
  );
  if (problems.length > 0) process.exitCode = 1;
  await reportAll(settings.name, (await buyer.logHead()).hash, env);
  const paid = await pricesPaid(settings.name, buyer);
  for (const line of await backtest(DEMO.seed, { limits: settings.limits, ...paid })) console.log(line);
  console.log(`all of it is in ${folder}`);
} finally {
  await market?.stop();
}

/** Runs the bot under its supervisor, and kills it in the middle of its second trade. */
async function runBot(file: string, env: NodeJS.ProcessEnv): Promise<void> {
  let trades = 0;
  const say = (line: string, bot?: { kill(): void }): void => {
    if (!line.startsWith("metrics:")) console.log(line);
    if (line.endsWith(": trading") && (trades += 1) === 2) bot?.kill();
  };
  await supervise([join(here, "run.js"), file], { signal: new AbortController().signal, say, env });
}

/** What was paid for answers of each assurance, and for those that were refused. */
async function pricesPaid(name: string, buyer: Buyer) {
  const receiptsOf = async (purpose: string): Promise<Receipt[]> => {
    const decisions = await buyer.decisions({ purpose, limit: 1000 });
    return Promise.all(decisions.flatMap(({ receipts }) => receipts.map(({ id }) => buyer.getReceipt(id))));
  };
  const amounts = (receipts: Receipt[]): bigint[] => receipts.map(({ core }) => BigInt(core.payment.amount));
  const [acted, refused] = [await receiptsOf(name), amounts(await receiptsOf(`${name} refusals`))];
  const isProven = ({ later }: Receipt): boolean => later.some(({ evidence }) => evidence.kind === "zk.groth16");
  const most = (all: bigint[]): bigint => all.reduce((one, other) => (other > one ? other : one), 0n);
  const attested = most(amounts(acted.filter((receipt) => !isProven(receipt))));
  return {
    prices: {
      attested,
      proven: most(amounts(acted.filter(isProven))),
    },
    refused: refused.reduce((sum, one) => sum + one, 0n),
    lie: refused.reduce((least, one) => (one < least ? one : least), attested),
  };
}

/** The report is made and judged by other processes. The last two have the files alone: no configuration, no store. */
async function reportAll(purpose: string, head: string, env: NodeJS.ProcessEnv): Promise<void> {
  const period = ["--from", "2026-01-01", "--to", "2100-01-01", "--purpose", purpose];
  await proof402(["decisions", "report", ...period, "--out", "report.json", "--html", "report.html"], env);
  await proof402(["trust", "export", "--reported-suffices", "auditor.json"], env);
  await judge("report.json", head);
  const report = JSON.parse(await readFile(join(folder, "report.json"), "utf8")) as Report;
  const [traded] = report.decisions.filter(({ outcome }) => outcome.startsWith("buy"));
  if (traded === undefined) throw new Error("no trade to change");
  traded.outcome = traded.outcome.replace("0.5", "0.1");
  await writeFile(join(folder, "changed.json"), serializeReport(report));
  await judge("changed.json", head);
}

async function judge(file: string, head: string): Promise<void> {
  const printed = await proof402(["verify", file, "--trust", "auditor.json", "--head", head], {});
  const [, verdict = ""] = printed.split("\n");
  console.log(`${file}: ${verdict.replace(/:.*/, "")}`);
  for (const problem of printed.match(/^Problem: .*$/gm) ?? []) console.log(problem.replace(/dec_\w+/, "dec_..."));
}

/** A command of proof402 in a process of its own, in the demo's folder. */
function proof402(args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  const cli = join(root, "dist", "src", "cli", "main.js");
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [cli, ...args], { env, cwd: folder }, (error, stdout, stderr) => {
      // `verify` ends with the verdict.
      if (error !== null && args[0] !== "verify") reject(new Error(stderr));
      else resolve(stdout);
    });
  });
}
