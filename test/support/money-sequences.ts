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

/** How many sequences, of how many commands at most, drawn from which seed. */
export type Sequences = { runs: number; commands: number; seed?: number };

/** Where sequences are run, each on a file of its own. */
export type MoneyModel = {
  /** Throws with the first sequence after which something was untrue; returns how many held. */
  run(sequences: Sequences): Promise<number>;
  close(): Promise<void>;
};

/**
 * Prepares for sequences of what may befall a wallet. It changes the time of the whole process ({@link simulateTime}) until
 * it is closed.
 */
export async function openMoneyModel(): Promise<MoneyModel> {
  const restoreTime = simulateTime();
  const directory = await mkdtemp(join(PLACE, "proof402-model-"));
  const market = await openSimulatedMarket();
  const path = await makeTemplate(directory, market);
  let opened = 0;
  return {
    async run({ runs, commands, seed }) {
      let held = 0;
      const sequence = fc.asyncProperty(moneyCommands(commands), async (made) => {
        opened += 1;
        const world = await openWorld({ directory, market, path, name: `${opened}.db` });
        try {
          await fc.asyncModelRun(() => ({ model: world.ledger, real: world }), made);
          await judgeEnd(world);
          requireTruth(world.ledger);
        } finally {
          await world.close();
        }
        held += 1;
      });
      await fc.assert(sequence, { numRuns: runs, endOnFailure: true, ...(seed === undefined ? {} : { seed }) });
      return held;
    },
    async close() {
      await market.stop();
      await rm(directory, { recursive: true, force: true });
      restoreTime();
    },
  };
}

/** Prepares, runs and clears away. */
export async function runMoneySequences(sequences: Sequences): Promise<number> {
  const model = await openMoneyModel();
  try {
    return await model.run(sequences);
  } finally {
    await model.close();
  }
}
