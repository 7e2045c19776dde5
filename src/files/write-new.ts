import { lstat, mkdir, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { Proof402Error } from "../errors.ts";

/**
 * Writes a file that is not there yet, folders above it included, and waits until it is on the disk. A file or link that is
 * there stays as it is. Content in pieces is written as it comes. `mode` says who may read it (default: everyone may, the
 * owner alone may write); new folders get the same rights, with the right to enter for each reader.
 *
 * Throws Proof402Error `file_exists` or `file_unwritable`.
 */
export async function writeNew(
  path: string,
  content: string | Uint8Array | AsyncIterable<string | Uint8Array>,
  { mode = 0o644 } = {},
): Promise<void> {
  const file = await create(path, mode);
  try {
    const pieces = typeof content === "string" || content instanceof Uint8Array ? [content] : content;
    for await (const piece of pieces) await file.writeFile(piece);
    await file.sync();
    await file.close();
  } catch (error) {
    // Half a file is of no use to anyone, and it would stand in the way of the whole one.
    await file.close().catch(() => undefined);
    await rm(path, { force: true });
    // What the pieces are made of may fail, too.
    throw Proof402Error.isInstance(error) ? error : unwritable(path, error);
  }
}

/** Makes a folder that is not there yet. Throws Proof402Error `file_exists` or `file_unwritable`. */
export const makeNewFolder = (path: string): Promise<void> =>
  mkdir(path).catch((error: unknown) => {
    throw isExisting(error) ? fileExists(path) : unwritable(path, error);
  });

/** Whether anything stands at a path, a link that leads nowhere included. */
export const isThere = (path: string): Promise<boolean> =>
  lstat(path).then(
    () => true,
    () => false,
  );

/** Removes a file written by this program, unless it was changed since. It may be gone already. */
export const removeOwn = (path: string): Promise<void> => rm(path, { force: true });

async function create(path: string, mode: number): ReturnType<typeof open> {
  await mkdir(dirname(path), { recursive: true, mode: mode | ((mode & 0o444) >> 2) }).catch((error: unknown) => {
    throw unwritable(path, error);
  });
  try {
    return await open(path, "wx", mode);
  } catch (error) {
    throw isExisting(error) ? fileExists(path) : unwritable(path, error);
  }
}

const isExisting = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST";

/** Why nothing is written to a path. */
export const fileExists = (path: string): Proof402Error =>
  new Proof402Error("file_exists", `${path} is there already and is not written over.`, {
    next: "Name another place, or move that file away first.",
    details: { path },
  });

const unwritable = (path: string, cause: unknown): Proof402Error =>
  new Proof402Error("file_unwritable", `${path} could not be written.`, { next: "Check the path.", cause });
