import { startPostgres } from "./postgres-cluster.ts";

/** One server for a run: each database of a test is a schema in it. */
export async function setup(): Promise<() => Promise<void>> {
  const cluster = await startPostgres();
  process.env["PROOF402_TEST_POSTGRES"] = cluster.url;
  return () => cluster.stop();
}
