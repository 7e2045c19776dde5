import { expect, it } from "vitest";
import { runMoneySequences } from "../support/money-sequences.ts";

// The search for faults that no test notices (scripts/mutate.ts) takes fewer, and the same each time. The campaign of .ci/run
// takes ten times as many.
const SEQUENCES = Number(process.env["PROOF402_MODEL_SEQUENCES"] ?? 30);
// The same sequences each time, so that no run depends on luck; the campaign draws new ones.
const SEED = process.env["PROOF402_MODEL_SEED"] ?? "20261126";

it(`spends no more than the plain model allows and says what is true, in ${SEQUENCES} sequences of whatever befalls a wallet`, async () => {
  expect(await runMoneySequences({ runs: SEQUENCES, commands: 8, seed: Number(SEED) })).toBe(SEQUENCES);
}, 600_000);
