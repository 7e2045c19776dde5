import { rm } from "node:fs/promises";
import { appraisalPolicyOf } from "../../buyer/context.ts";
import { openBuyer } from "../../buyer/open.ts";
import { formatUnits } from "../../chain/amounts.ts";
import { startDevnet, writeDevnet, type Devnet } from "../../devnet/index.ts";
import { writeNew } from "../../files/write-new.ts";
import { serializeReceipt } from "../../receipts/receipt.ts";
import { openDatabase } from "../../storage/database.ts";
import { busy } from "../progress.ts";
import { proofOnChain } from "../publish-proof.ts";
import { trustText } from "../trust.ts";
import { runDemoAgent } from "./agent.ts";
import { commandsOf, explain, openDemoFolder, type DemoFolder } from "./folder.ts";
import { runDemoProof } from "./proof.ts";
import { createDemoReport, type DemoReport } from "./report.ts";
import { runInFreshProcess } from "./shell.ts";

/**
 * `proof402 demo`: an agent judges ETH risk on a market on this machine. It buys from a seller that cheats, sees the
 * receipt fail, buys from an attested one, acts on the verified answer; then it wants a proof, catches a forged one and
 * gets a genuine one. A fresh process checks the receipt offline, given only that file and a trust file of this buyer's
 * pins. A folder keeps both, with the buyer's configuration and store. Returns the exit code: 0 only if all of that happened.
 */
export async function runDemo(options: { json: boolean }): Promise<number> {
  const report = createDemoReport(options);
  report.heading("A market on this machine (no network, no key, simulated hardware)");
  const folder = await openDemoFolder();
  try {
    const began = performance.now();
    const devnet = await busy("Starting a chain, a token, a facilitator and six sellers", () =>
      startDevnet({ proving: true }),
    );
    try {
      const names = devnet.config.sellers.map(({ id }) => id);
      report.line(
        `chain ${devnet.chainId}, token ${devnet.token}, ${names.length} sellers: ${names.join(", ")} (${Math.round(performance.now() - began)} ms)`,
      );
      return await onMarket(devnet, folder, report);
    } finally {
      await devnet.stop();
    }
  } catch (error) {
    // Half of what the folder is to hold explains nothing.
    await rm(folder.path, { recursive: true, force: true });
    throw error;
  }
}

async function onMarket(devnet: Devnet, folder: DemoFolder, report: DemoReport): Promise<number> {
  await writeDevnet(devnet, folder.path);
  const config = { ...devnet.config, database: folder.database };
  const { wallet } = devnet;
  const before = await devnet.balanceOf(wallet.address);
  const buyer = await openBuyer({ config, wallet });
  try {
    const outcome = await runDemoAgent(buyer, report);
    const proof = await runDemoProof(buyer, report, async (receipt) => {
      const db = await openDatabase(config.database);
      try {
        return await proofOnChain(receipt, config).record({ db, wallet });
      } finally {
        await db.destroy();
      }
    });
    const spent = before - (await devnet.balanceOf(wallet.address));
    await writeNew(folder.receipt, serializeReceipt(outcome.receipt));
    // The chain is switched off next, so a checker has only the file's word for it.
    await writeNew(folder.trust, trustText({ ...appraisalPolicyOf(config, "attested"), reportedSuffices: true }));
    await explain(folder);
    report.heading("The market is switched off; fresh processes look at what is left, offline");
    await buyer.close();
    await devnet.stop();
    const exits: number[] = [];
    for (const args of commandsOf(folder)) exits.push(await runInFreshProcess(args, report));
    report.line(`All of it is in ${folder.path}; its README.md says what is what.`);
    const ok =
      outcome.cheatCaught &&
      outcome.traded &&
      proof.forgeryCaught &&
      proof.proven &&
      outcome.verdict === "verified" &&
      exits.every((exit) => exit === 0);
    report.finish({
      ...outcome,
      ...proof,
      ok,
      folder: folder.path,
      receiptPath: folder.receipt,
      trustPath: folder.trust,
      spentUsd: formatUnits(spent, 6),
      freshProcessExit: exits[0],
    });
    return ok ? 0 : 1;
  } finally {
    await buyer.close();
  }
}
