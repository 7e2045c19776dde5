import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { appraisalPolicyOf } from "../../buyer/context.ts";
import { openBuyer } from "../../buyer/open.ts";
import { startDevnet, writeDevnet } from "../../devnet/index.ts";
import { Proof402Error } from "../../errors.ts";
import { writeNew } from "../../files/write-new.ts";
import { formatUnits } from "../../chain/amounts.ts";
import { serializeReceipt } from "../../receipts/receipt.ts";
import { openDatabase } from "../../storage/database.ts";
import { proofOnChain } from "../publish-proof.ts";
import { runDemoAgent } from "./agent.ts";
import { runDemoProof } from "./proof.ts";
import { createDemoReport } from "./report.ts";
import { verifyInFreshProcess } from "./verify.ts";
import { trustText } from "../trust.ts";

/**
 * `proof402 demo`: an agent judges ETH risk on a market on this machine. It buys from a seller that cheats, sees the
 * receipt fail, buys from an attested one, acts on the verified answer; then it wants a proof, catches a forged one and
 * gets a genuine one. A fresh process checks the receipt offline, given only that file and a trust file of this buyer's
 * pins. Both stay in the working directory. Returns the exit code: 0 only if all of that happened.
 */
export async function runDemo(options: { json: boolean }): Promise<number> {
  const report = createDemoReport(options);
  report.heading("A market on this machine (no network, no key, simulated hardware)");
  const directory = await mkdtemp(join(tmpdir(), "proof402-demo-"));
  const began = performance.now();
  const devnet = await startDevnet({ proving: true });
  try {
    await writeDevnet(devnet, directory);
    const config = { ...devnet.config, database: join(directory, "proof402.db") };
    report.line(
      `chain ${devnet.chainId}, token ${devnet.token}, ${config.sellers.length} sellers: ${config.sellers.map((s) => s.id).join(", ")} (${Math.round(performance.now() - began)} ms)`,
    );
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
      const path = await writeBeside(resolve("receipt.json"), serializeReceipt(outcome.receipt));
      // The chain is switched off next, so a checker has only the file's word for it.
      const trusted = trustText({ ...appraisalPolicyOf(config, "attested"), reportedSuffices: true });
      const trust = await writeBeside(resolve("trust.json"), trusted);
      report.heading("The market is switched off; a fresh process checks the saved receipt offline");
      await buyer.close();
      await devnet.stop();
      const checked = await verifyInFreshProcess({
        receipt: path,
        trust,
        report,
      });
      const ok =
        outcome.cheatCaught &&
        outcome.traded &&
        proof.forgeryCaught &&
        proof.proven &&
        outcome.verdict === "verified" &&
        checked === 0;
      report.finish({
        ...outcome,
        ...proof,
        ok,
        receiptPath: path,
        trustPath: trust,
        spentUsd: formatUnits(spent, 6),
        freshProcessExit: checked,
      });
      return ok ? 0 : 1;
    } finally {
      await buyer.close();
    }
  } finally {
    await devnet.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** Writes a file under the first free name of `receipt.json`, `receipt-2.json` and so on, and returns it. */
async function writeBeside(path: string, content: string | Uint8Array): Promise<string> {
  for (let count = 1; ; count += 1) {
    const free = count === 1 ? path : path.replace(/\.json$/, `-${count}.json`);
    try {
      await writeNew(free, content);
      return free;
    } catch (error) {
      if (!Proof402Error.isInstance(error) || error.code !== "file_exists") throw error;
    }
  }
}
