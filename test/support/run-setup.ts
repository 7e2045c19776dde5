import { rmSync } from "node:fs";
import { join } from "node:path";
import { bundleInto, CACHE } from "./bundled.ts";

/**
 * Makes one file of the built command line, once per run: hundreds of starts take half their time. The package itself is
 * started in `test/surfaces/peers.test.ts` and from its tarball in `.ci/run`.
 */
export async function setup(): Promise<() => void> {
  const folder = join(CACHE, `proof402-run-${process.pid}`);
  await bundleInto(folder, join(import.meta.dirname, "../../dist/src/cli/main.js"));
  await bundleInto(folder, join(import.meta.dirname, "command-server.ts"));
  process.env["PROOF402_TEST_RUN"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
