import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { Proof402Error } from "../errors.ts";
import { newFileProblem, OTHERS, readTextFile } from "../files/read-file.ts";
import { replaceText } from "../files/replace.ts";
import { removeOwn, writeNew } from "../files/write-new.ts";

const MAX_BYTES = 10_000_000;

/**
 * The text of another program's file, or null if there is none. Throws Proof402Error `file_unreadable`. In a folder open to all it throws
 * `file_unwritable` for a new file: another user could exchange it, and the program would start the other one.
 */
export async function readClientFile(path: string): Promise<string | null> {
  const read = await readTextFile(path, { maxBytes: MAX_BYTES, denied: OTHERS.write });
  if ("text" in read) return read.text;
  if (read.problem === "missing") {
    const rights = await newFileProblem(path);
    if (rights === null) return null;
    throw new Proof402Error(
      "file_unwritable",
      `Everybody may write to the folder of ${path}, so nothing is written there.`,
      {
        next: "Take that right away (chmod o-w on the folder), or name another file with --file.",
      },
    );
  }
  const why = read.problem === "permissions" ? `can be changed by others (mode ${read.mode})` : "cannot be read";
  throw new Proof402Error("file_unreadable", `${path} ${why}.`, {
    next: "Correct the file, or name another with --file.",
  });
}

/**
 * Writes `after` if the file still is as it was read; a null `after` removes the file. Throws as `replaceText` does, and for a
 * file to be removed that was changed meanwhile Proof402Error `file_changed`.
 */
export async function writeClientFile(
  path: string,
  { before, after }: { before: string | null; after: string | null },
): Promise<void> {
  if (after === null) {
    if ((await readClientFile(path)) === before) return removeOwn(path);
    throw new Proof402Error("file_changed", `${path} was changed meanwhile, so it was not removed.`, {
      next: "Run the command again: it reads the file as it is now.",
    });
  }
  if (before !== null) return replaceText(path, { before, after });
  await mkdir(dirname(path), { recursive: true });
  await writeNew(path, after, { mode: 0o600 });
}
