import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The longest files, longest first: none of them is left to one core while the other has nothing to do. */
const LONGEST = [
  "test/hostile/second-clock-processes.test.ts",
  "test/surfaces/cli.test.ts",
  "test/surfaces/owner.test.ts",
  "test/hostile/processes.test.ts",
  "test/verify/flips.test.ts",
  "test/docs/readme.test.ts",
  "test/node/zk/prover.test.ts",
  "test/buyer/proof.test.ts",
  "test/buyer/deadlines.test.ts",
  "test/surfaces/parity.test.ts",
  "test/surfaces/mcp.test.ts",
  "test/node/one-payment.test.ts",
  "test/house/lazy.test.ts",
  "test/node/zk/circuit.test.ts",
  "test/conformance/ezkl.test.ts",
];
const rank = ({ moduleId }: TestSpecification): number => {
  const at = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}`));
  return at === -1 ? LONGEST.length : at;
};

// A class because vitest constructs one.
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

// A default export because vitest reads its configuration from one.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // On a machine at load a proving market takes its time. What never comes ends here; nothing else waits for it.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 150_000 } },
    pool: "forks",
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    coverage: {
      provider: "v8",
      include: ["src/**", "mcp-server/**"],
      exclude: ["**/*.artifact.ts"],
      reporter: ["text-summary", "html"],
    },
  },
});
