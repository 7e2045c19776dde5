import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createVitest } from "vitest/node";

/**
 * Runs unit tests under the mutants of an instrumented program and notes which are noticed. Ends with status 3 where a test
 * fails without a mutant, or with the one of `PROOF402_MUTANT`. Arguments: the source file, its instrumented program, the
 * test file, the mutants' numbers.
 */
const [source = "", program = "", test = "", ...numbers] = process.argv.slice(2);
const path = resolve(source);
const vitest = await createVitest(
  "test",
  {
    watch: false,
    // Its projects would be made without the mutants.
    config: false,
    include: ["test/**/*.test.ts"],
    maxWorkers: 1,
    expect: { poll: { timeout: 150_000 } },
    reporters: [{}],
    api: false,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    env: { PROOF402_MUTANTS: numbers.join(" ") },
    setupFiles: ["./scripts/mutant-setup.ts"],
  },
  {
    plugins: [
      { name: "mutants", enforce: "pre", load: (id) => (id === path ? readFileSync(program, "utf8") : undefined) },
    ],
  },
);
const specifications = await vitest.globTestSpecifications([test]);
const { testModules } = await vitest.runTestSpecifications(specifications);
const holds = testModules.length > 0 && testModules.every((one) => one.ok());
for (const one of holds || process.env["PROOF402_MUTANT"] !== "null" ? [] : testModules)
  for (const failed of one.children.allTests("failed"))
    process.stderr.write(`${failed.fullName}: ${JSON.stringify(failed.result().errors)}\n`);
await vitest.close();
process.exit(holds ? 0 : 3);
