import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { CACHE } from "./bundled.ts";

const DAY_MS = 86_400_000;

/**
 * The folder that `make` fills, made once for each content of what it is made from. A run of one short file would otherwise
 * spend most of its CPU on it. Folders without a run for a day are removed.
 */
export async function kept(
  name: string,
  madeFrom: readonly string[],
  make: (folder: string) => Promise<void>,
): Promise<string> {
  const folder = join(CACHE, `proof402-${name}-${digestOf(madeFrom)}`);
  const begun = `${folder}-${process.pid}`;
  if (!isThere(folder)) {
    mkdirSync(begun, { recursive: true });
    await make(begun);
    try {
      renameSync(begun, folder);
    } catch {
      // Another run was first with the same content.
      rmSync(begun, { recursive: true, force: true });
    }
  }
  utimesSync(folder, new Date(), new Date());
  removeOld(`proof402-${name}-`);
  return folder;
}

const isThere = (folder: string): boolean => statSync(folder, { throwIfNoEntry: false }) !== undefined;

/** Of the files in these places, and of this checkout: bundles name their neighbours by their full paths. */
function digestOf(places: readonly string[]): string {
  const hash = createHash("sha256").update(import.meta.dirname);
  for (const file of places.flatMap(filesIn)) hash.update(`\n${file}\n`).update(readFileSync(file));
  return hash.digest("hex").slice(0, 16);
}

const filesIn = (place: string): string[] =>
  statSync(place).isDirectory()
    ? readdirSync(place, { recursive: true, encoding: "utf8" })
        .filter((file) => /\.[jt]s$/.test(file))
        .toSorted()
        .map((file) => join(place, file))
    : [place];

function removeOld(prefix: string): void {
  for (const name of readdirSync(CACHE)) {
    const folder = join(CACHE, name);
    const changed = name.startsWith(prefix) ? statSync(folder, { throwIfNoEntry: false })?.mtimeMs : undefined;
    if (changed !== undefined && Date.now() - changed > DAY_MS) rmSync(folder, { recursive: true, force: true });
  }
}
