import { join } from "node:path";
import { defineConfig, mergeConfig, type Plugin } from "vitest/config";
import base, { ALONE } from "./vitest.config.ts";

const STORAGE = join(import.meta.dirname, "src/storage/database.ts");
const ON_POSTGRES = join(import.meta.dirname, "test/support/database-on-postgres.ts");

/** What runs on PostgreSQL: the rooms of the database, and of others the files that its locks and crashes decide. */
const INCLUDED = ["test/postgres/*.pg.ts", "test/{payment,receipts,buyer,guard,hostile,dashboard}/**/*.test.ts"];

/** Tests of SQLite's own ways, by their names. */
const OF_SQLITE = [
  // Reads SQLite's query plans.
  "are listed from indexes, however many there are",
  // Has SQLite's driver refuse a value.
  "reaches the caller where its end cannot be written",
];

/** Has each database that a test opens by a path be one of a PostgreSQL server. */
const onPostgres: Plugin = {
  name: "on-postgres",
  enforce: "pre",
  async resolveId(source, importer) {
    if (!source.endsWith("/database.ts") || importer === ON_POSTGRES) return null;
    const found = await this.resolve(source, importer, { skipSelf: true });
    return found?.id === STORAGE ? ON_POSTGRES : null;
  },
};
const alone = [...ALONE, "test/postgres/*.pg.ts"].filter((file) => !/buyer|tls|second-clock/.test(file));

// A default export because vitest reads its configuration from one.
export default mergeConfig(
  { ...base, test: { ...base.test, projects: undefined } },
  defineConfig({
    plugins: [onPostgres],
    test: {
      globalSetup: ["test/support/postgres-setup.ts"],
      testNamePattern: new RegExp(`^(?!.*(?:${OF_SQLITE.join("|")}))`),
      projects: [
        { extends: true, test: { name: "alone", include: alone } },
        { extends: true, test: { name: "shared", isolate: false, include: INCLUDED, exclude: alone } },
      ],
    },
  }),
);
