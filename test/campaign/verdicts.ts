import { openFamily } from "../support/receipt-family.ts";
import { judgeMutants } from "../support/verdict-campaign.ts";

/** Mutants between two lines of progress. */
const STEP = 20_000;

const runs = Number(process.env["PROOF402_CAMPAIGN_MUTANTS"] ?? 1_000_000);
const began = Date.now();
let seed = Number(process.env["PROOF402_CAMPAIGN_SEED"] ?? began % 1_000_000_000);
const family = await openFamily();
const counts: Record<string, number> = {};
for (let done = 0; done < runs; done += STEP) {
  process.stdout.write(
    `verdicts: ${done} mutants judged after ${Math.round((Date.now() - began) / 1000)} s; next seed ${seed}\n`,
  );
  const judged = await judgeMutants(family, Math.min(STEP, runs - done), seed);
  for (const [outcome, count] of Object.entries(judged.counts)) counts[outcome] = (counts[outcome] ?? 0) + count;
  for (const forged of judged.forged) process.stdout.write(`verdicts: FORGED ${JSON.stringify(forged)}\n`);
  if (judged.forged.length > 0) process.exit(1);
  seed += 1;
}
process.stdout.write(
  `verdicts: ${runs} mutants, none verified that means what nobody signed: ${JSON.stringify(counts)}\n`,
);
