import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

/** The longest files, longest first: none of them is left to one core while the other has nothing to do. */
const LONGEST = [
  "test/docs/readme.test.ts",
  "test/docs/examples.test.ts",
  "test/docs/defi-bot.test.ts",
  "test/pages/page-and-cli.test.ts",
  "test/hostile/second-clock-processes.test.ts",
  "test/buyer/proof.test.ts",
  "test/hostile/processes.test.ts",
  "test/buyer/money-model.test.ts",
  "test/hostile/tls.test.ts",
  "test/payment/processes.test.ts",
  "test/buyer/deadlines.test.ts",
  "test/pages/report-page.test.ts",
  "test/pages/verify-page.test.ts",
  "test/surfaces/cli.test.ts",
  "test/surfaces/demo.test.ts",
  "test/surfaces/mcp.test.ts",
  "test/ezkl/engine.test.ts",
  "test/node/vouchers.test.ts",
  "test/surfaces/parity.test.ts",
  "test/surfaces/mcp-ends.test.ts",
  "test/verify/ezkl.test.ts",
  "test/node/zk/prover.test.ts",
  "test/dashboard/browser.test.ts",
  "test/surfaces/approval.test.ts",
  "test/node/zk/circuit.test.ts",
  "test/verify/secret-weights.test.ts",
  "test/verify/groth16.test.ts",
  "test/hostile/shared-authorizations.test.ts",
  "test/buyer/rivals.test.ts",
  "test/surfaces/node.test.ts",
  "test/house/lazy.test.ts",
  "test/verify/sweep.test.ts",
  "test/surfaces/owner.test.ts",
  "test/hostile/surface-kills.test.ts",
  "test/hostile/permit2.test.ts",
  "test/verify/flips.test.ts",
  "test/surfaces/mcp-http.test.ts",
  "test/surfaces/mcp-clients.test.ts",
  "test/conformance/ezkl.test.ts",
];
/**
 * Rooms whose files follow each other in one process, which has loaded viem, kysely and what else they share once: some 2 s of
 * CPU for each file that opens a market or a buyer.
 */
const SHARED = [
  "buyer",
  "chain",
  "config",
  "evidence",
  "files",
  "guard",
  "market",
  "payment",
  "proxy",
  "receipts",
  "storage",
  "tools",
  "verify",
  "node",
  "devnet",
  "http",
  "interop",
  "onnx",
  "house",
  "ezkl",
  "conformance",
  "hostile",
  "surfaces",
  "dashboard",
];
/** Files of these rooms that change their process: its time, its environment, its listeners, what it started. */
export const ALONE = [
  "test/buyer/deadlines.test.ts",
  "test/buyer/listeners.test.ts",
  "test/buyer/money-model.test.ts",
  "test/buyer/one-key.test.ts",
  "test/buyer/proof.test.ts",
  "test/buyer/second-clock-leases.test.ts",
  "test/buyer/taken-up.test.ts",
  "test/buyer/turned-down.test.ts",
  "test/hostile/processes.test.ts",
  "test/hostile/second-clock-processes.test.ts",
  "test/hostile/tls.test.ts",
  "test/payment/processes.test.ts",
  "test/payment/rpc.test.ts",
];
const shared = SHARED.join("|");

const rank = ({ moduleId }: TestSpecification): number => {
  const at = LONGEST.findIndex((file) => moduleId.endsWith(`/${file}`));
  return at === -1 ? LONGEST.length : at;
};
/** A process is kept for the next file only if that shares it, too: those come together, and last, as they are short. */
const isShared = ({ project }: TestSpecification): number => Number(project.name === "shared");

// A class because vitest constructs one.
class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((a, b) => isShared(a) - isShared(b) || rank(a) - rank(b));
  }
}

// A default export because vitest reads its configuration from one.
export default defineConfig({
  // The MCP server imports the package by its name. Tests run its sources, not what was built last.
  resolve: {
    alias: [
      { find: /^proof402$/, replacement: join(import.meta.dirname, "src/index.ts") },
      { find: /^proof402\/(pages|tools|verify)$/, replacement: join(import.meta.dirname, "src/$1/index.ts") },
    ],
  },
  test: {
    projects: [
      { extends: true, test: { name: "alone", include: [`test/!(${shared})/**/*.test.ts`, ...ALONE] } },
      {
        extends: true,
        test: { name: "shared", isolate: false, include: [`test/@(${shared})/**/*.test.ts`], exclude: ALONE },
      },
    ],
    // On a machine at load a proving market takes its time. What never comes ends here; nothing else waits for it.
    testTimeout: 300_000,
    hookTimeout: 300_000,
    expect: { poll: { timeout: 150_000 } },
    globalSetup: "test/support/run-setup.ts",
    setupFiles: "test/support/file-setup.ts",
    pool: "forks",
    // A larger young heap: a twentieth of a run's CPU went into collecting it.
    execArgv: ["--max-semi-space-size=64"],
    // One more than cores: much of a run waits, for blocks, processes and time limits.
    maxWorkers: 3,
    sequence: { sequencer: LongestFirst },
    coverage: {
      provider: "v8",
      include: ["src/**", "mcp-server/**"],
      exclude: ["**/*.artifact.ts"],
      reporter: ["text-summary", "html"],
    },
  },
});
