import { openMoneyModel } from "../test/support/money-sequences.ts";
import { note } from "./mutant-log.ts";

/**
 * Runs the money's sequences once for each mutant of an instrumented program, and notes which are noticed. Breaks off
 * where they do not hold without a mutant, or with the one of `PROOF402_MUTANT`. Arguments: the mutants' numbers.
 */
const SEQUENCES = { runs: Number(process.env["PROOF402_MODEL_SEQUENCES"] ?? 25), commands: 10, seed: 402 };

let model = await openMoneyModel();
await model.run(SEQUENCES);
note("ready");
for (const number of process.argv.slice(2).map(Number)) {
  note(`${number} begun`);
  globalThis.mutant = number;
  const noticed = await model.run(SEQUENCES).then(
    () => false,
    () => true,
  );
  globalThis.mutant = undefined;
  if (!noticed) continue;
  note(`${number} killed`);
  // A buyer that broke may go on for a while: it must not meddle with the sequences of the next mutant.
  await model.close();
  model = await openMoneyModel();
}
process.exit(0);
