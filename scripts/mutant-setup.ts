import fc from "fast-check";
import { TestRunner, type RunnerTestCase, type RunnerTestSuite } from "vitest";
import { note } from "./mutant-log.ts";

// The first counterexample is enough, and each mutant gets the same ones.
fc.configureGlobal({ endOnFailure: true, seed: 402 });

/** Longest that a test may take to be run under mutants, ms of the processor. */
const longestMs = Number(process.env["PROOF402_LONGEST_MS"] ?? Infinity);
/** A mutant left something behind: what would be found now may be its doing. */
let spoiled = false;
const alive = new Set((process.env["PROOF402_MUTANTS"] ?? "").split(" ").filter(Boolean).map(Number));

/**
 * Runs a test once without a mutant, and once with each that is still alive and stands where the test came by. After one
 * that it notices it has to hold again without.
 */
async function runTask(test: RunnerTestCase): Promise<void> {
  if (spoiled) return;
  const run = async (): Promise<void> => {
    delete test.promises;
    await TestRunner.getTestFn(test)();
  };
  const holds = (): Promise<boolean> =>
    run().then(
      () => true,
      () => false,
    );
  const passed = (globalThis.passed = new Set());
  const { user, system } = process.cpuUsage();
  await run();
  note("ready");
  const spent = process.cpuUsage({ user, system });
  if ((spent.user + spent.system) / 1000 > longestMs) return;
  for (const number of [...alive].filter((one) => passed.has(one))) {
    await startOver(test);
    note(`${number} begun`);
    globalThis.mutant = number;
    const noticed = !(await holds());
    globalThis.mutant = undefined;
    if (!noticed) continue;
    await startOver(test);
    if (!(await holds())) {
      note(`${number} spoiled`);
      spoiled = true;
      return;
    }
    alive.delete(number);
    note(`${number} killed`);
  }
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
