import { expect, it } from "vitest";
import { runMoneySequences } from "../support/money-sequences.ts";

// The search for faults that no test notices (scripts/mutate.ts) takes fewer, and the same each time.
const SEQUENCES = Number(process.env["PROOF402_MODEL_SEQUENCES"] ?? 500);
const SEED = process.env["PROOF402_MODEL_SEED"];

it(`spends no more than the plain model allows and says what is true, in ${SEQUENCES} sequences of whatever befalls a wallet`, async () => {
  expect(
    await runMoneySequences({ runs: SEQUENCES, commands: 8, ...(SEED === undefined ? {} : { seed: Number(SEED) }) }),
  ).toBe(SEQUENCES);
}, 600_000);
