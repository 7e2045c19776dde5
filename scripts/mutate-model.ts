import { openMoneyModel } from "../test/support/money-sequences.ts";

/**
 * Runs the money's sequences once for each mutant of an instrumented program, and prints its number with `killed` or
 * `survived`. Ends with status 9 after a mutant that hangs. Arguments: the mutants' numbers.
 */
declare global {
  var mutant: number | undefined;
}

const SEQUENCES = { runs: Number(process.env["PROOF402_MODEL_SEQUENCES"] ?? 25), commands: 10, seed: 402 };
/** Longest that the sequences of one mutant may take, ms. */
const PATIENCE_MS = 120_000;

const model = await openMoneyModel();
await model.run(SEQUENCES);
for (const number of process.argv.slice(2)) {
  globalThis.mutant = Number(number);
  const late = setTimeout(() => {
    process.stdout.write(`${number} killed\n`);
    process.exit(9);
  }, PATIENCE_MS);
  const outcome = await model.run(SEQUENCES).then(
    () => "survived",
    () => "killed",
  );
  clearTimeout(late);
  globalThis.mutant = undefined;
  process.stdout.write(`${number} ${outcome}\n`);
}
await model.close();
