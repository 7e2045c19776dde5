import { runMoneySequences } from "../support/money-sequences.ts";

/** Sequences between two lines of progress. */
const STEP = 500;

const runs = Number(process.env["PROOF402_CAMPAIGN_RUNS"] ?? 100_000);
const began = Date.now();
let done = 0;
let seed = Number(process.env["PROOF402_CAMPAIGN_SEED"] ?? began % 1_000_000_000);
while (done < runs) {
  process.stdout.write(
    `money: ${done} sequences held after ${Math.round((Date.now() - began) / 1000)} s; next seed ${seed}\n`,
  );
  done += await runMoneySequences({ runs: Math.min(STEP, runs - done), commands: 12, seed });
  seed += 1;
}
process.stdout.write(`money: ${done} sequences held\n`);
