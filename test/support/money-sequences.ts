import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { moneyCommands } from "./money-commands.ts";
import { judgeEnd, requireTruth } from "./money-truth.ts";
import { makeTemplate, openWorld } from "./money-world.ts";
import { openSimulatedMarket } from "./simulated-market.ts";
import { simulateTime } from "./simulated-time.ts";

/** Files in memory, where there is such a place: no sequence has to survive a power loss. */
const PLACE = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/**
 * Runs sequences of whatever may befall a wallet against the plain model, each on a file of its own. Throws with the first
 * sequence after which something was untrue. It changes the time of the whole process ({@link simulateTime}).
 */
export async function runMoneySequences(options: { runs: number; commands: number; seed?: number }): Promise<number> {
  const { runs, commands, seed } = options;
  simulateTime();
  const directory = await mkdtemp(join(PLACE, "proof402-model-"));
  const market = await openSimulatedMarket();
  let count = 0;
  const sequence = fc.asyncProperty(moneyCommands(commands), async (made) => {
    count += 1;
    const world = await openWorld({ directory, market, path, name: `${count}.db` });
    try {
      await fc.asyncModelRun(() => ({ model: world.ledger, real: world }), made);
      await judgeEnd(world);
      requireTruth(world.ledger);
    } finally {
      await world.close();
    }
  });
  const path = await makeTemplate(directory, market);
  try {
    await fc.assert(sequence, { numRuns: runs, endOnFailure: true, ...(seed === undefined ? {} : { seed }) });
    return count;
  } finally {
    await market.stop();
    await rm(directory, { recursive: true, force: true });
  }
}
