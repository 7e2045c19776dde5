import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundleInto } from "./bundled.ts";
import { kept } from "./kept.ts";
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

const ROOT = join(import.meta.dirname, "../..");
const COMMAND_SERVER = join(import.meta.dirname, "command-server.ts");

/**
 * Makes one file of the built command line: hundreds of starts take half their time. The package itself is started in
 * `test/surfaces/peers.test.ts` and from its tarball in `.ci/run`.
 *
 * What tests write lies in memory where the machine has such a place: a disk is waited for at each commit of each buyer, and no
 * test pulls the plug. Bundles stay inside the project, where their packages are found.
 */
export async function setup(): Promise<() => void> {
  const places = ["dist/src", "dist/mcp-server", "package-lock.json"].map((place) => join(ROOT, place));
  const [commandLine, keys] = await Promise.all([
    kept("command-line", [...places, COMMAND_SERVER], async (folder) => {
      await bundleInto(folder, join(ROOT, "dist/src/cli/main.js"));
      await bundleInto(folder, COMMAND_SERVER);
    }),
    kept("keys", [], makeKeys),
  ]);
  const folder = mkdtempSync(join(hasMemory() ? MEMORY : tmpdir(), "proof402-run-"));
  process.env["PROOF402_TEST_CLI"] = commandLine;
  process.env["PROOF402_TEST_KEYS"] = keys;
  process.env["PROOF402_TEST_RUN"] = folder;
  process.env["TMPDIR"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
