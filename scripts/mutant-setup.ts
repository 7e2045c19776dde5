import fc from "fast-check";
import { TestRunner, type RunnerTestCase, type RunnerTestSuite } from "vitest";
import { note } from "./mutant-log.ts";

// The first counterexample is enough, and each mutant gets the same ones.
fc.configureGlobal({ endOnFailure: true, seed: 402 });

const alive = new Set((process.env["PROOF402_MUTANTS"] ?? "").split(" ").filter(Boolean).map(Number));

/** Runs a test once without a mutant, once with each that is still alive, and once more without: it has to hold again. */
async function runTask(test: RunnerTestCase): Promise<void> {
  const run = async (): Promise<void> => {
    delete test.promises;
    await TestRunner.getTestFn(test)();
  };
  await run();
  note("ready");
  for (const number of alive) {
    await startOver(test);
    note(`${number} begun`);
    globalThis.mutant = number;
    const noticed = await run().then(
      () => false,
      () => true,
    );
    globalThis.mutant = undefined;
    if (!noticed) continue;
    alive.delete(number);
    note(`${number} killed`);
  }
  await startOver(test);
  await run();
}

/** Clears away after one run of a test, as far as a mutant left it in order, and prepares for the next. */
async function startOver(test: RunnerTestCase): Promise<void> {
  const suites: RunnerTestSuite[] = [];
  for (let suite = test.suite; suite !== undefined; suite = suite.suite) suites.push(suite);
  suites.push(test.file);
  for (const suite of suites)
    for (const hook of TestRunner.getSuiteHooks(suite).afterEach)
      await Promise.resolve(hook(test.context, suite)).catch(() => undefined);
  for (const suite of suites.toReversed())
    for (const hook of TestRunner.getSuiteHooks(suite).beforeEach) await hook(test.context, suite);
}

// Vitest asks its runner for this and has none of its own.
Object.assign(TestRunner.prototype, { runTask });
