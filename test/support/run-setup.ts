import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { bundleInto, CACHE } from "./bundled.ts";
import { makeKeys } from "./key-pool.ts";

/** A file system in memory. */
const MEMORY = "/dev/shm";
/** The databases and folders of a run take some hundred MB. */
const ROOM = 4 * 1024 ** 3;

/** Whether there is such a file system with room for a run. */
function hasMemory(): boolean {
  try {
    const { bavail, bsize } = statfsSync(MEMORY);
    return bavail * bsize > ROOM;
  } catch {
    return false;
  }
}

/**
 * Makes one file of the built command line, once per run: hundreds of starts take half their time. The package itself is
 * started in `test/surfaces/peers.test.ts` and from its tarball in `.ci/run`.
 *
 * What tests write lies in memory where the machine has such a place: a disk is waited for at each commit of each buyer, and no
 * test pulls the plug. Bundles stay inside the project, where their packages are found.
 */
export async function setup(): Promise<() => void> {
  const folder = join(CACHE, `proof402-run-${process.pid}`);
  await Promise.all([
    bundleInto(folder, join(import.meta.dirname, "../../dist/src/cli/main.js")),
    bundleInto(folder, join(import.meta.dirname, "command-server.ts")),
  ]);
  await makeKeys(folder);
  process.env["PROOF402_TEST_RUN"] = folder;
  const temporary = hasMemory() ? mkdtempSync(join(MEMORY, "proof402-run-")) : null;
  if (temporary !== null) process.env["TMPDIR"] = temporary;
  return () => {
    for (const place of [folder, temporary]) if (place !== null) rmSync(place, { recursive: true, force: true });
  };
}
