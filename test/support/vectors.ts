import { access } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** The folder of genuine evidence (`PROOF402_VECTORS`, default `../shared/vectors`), or null, said once on stderr, where it is absent. */
export async function vectorsDirectory(): Promise<string | null> {
  const directory =
    process.env["PROOF402_VECTORS"] ??
    resolve(fileURLToPath(new URL("../../..", import.meta.url)), "shared", "vectors");
  try {
    await access(directory);
    return directory;
  } catch {
    process.stderr.write(`Skipped: no vectors at ${directory} (set PROOF402_VECTORS).\n`);
    return null;
  }
}
