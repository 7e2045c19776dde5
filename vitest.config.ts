import { defineConfig } from "vitest/config";

// A default export because vitest reads its configuration from one.
export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 240_000,
    pool: "forks",
    maxWorkers: 2,
    coverage: {
      provider: "v8",
      include: ["src/**", "mcp-server/**"],
      exclude: ["**/*.artifact.ts"],
      reporter: ["text-summary", "html"],
    },
  },
});
