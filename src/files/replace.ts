import { realpath, rename, stat } from "node:fs/promises";
import { Proof402Error } from "../errors.ts";
import { OTHERS, readTextFile } from "./read-file.ts";
import { removeOwn, writeNew } from "./write-new.ts";

/**
 * Puts a text in the place of another one, whole or not at all: it is written beside the file, and takes its name once it
 * is on the disk. The file beside it lets one command at a time do this. A link stays a link, and its file keeps its rights.
 *
 * Throws Proof402Error `file_changed` where the file no longer holds `before`, `file_exists` where another command writes
 * it, and `file_unwritable`. The file is then as it was.
 */
export async function replaceText(path: string, { before, after }: { before: string; after: string }): Promise<void> {
  const file = await realpath(path).catch(() => path);
  const beside = `${file}.new`;
  const { mode } = await stat(file);
  await writeNew(beside, after, { mode: mode & 0o777 });
  try {
    const now = await readTextFile(file, { maxBytes: Number.MAX_SAFE_INTEGER, denied: OTHERS.write });
    if (!("text" in now) || now.text !== before) {
      throw new Proof402Error("file_changed", `${path} was changed meanwhile, so nothing was written to it.`, {
        next: "Run the command again: it reads the file as it is now.",
        details: { path },
      });
    }
    await rename(beside, file);
  } catch (error) {
    await removeOwn(beside);
    throw error;
  }
}
