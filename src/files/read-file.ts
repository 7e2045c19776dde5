import { constants } from "node:fs";
import { open, stat } from "node:fs/promises";
import { dirname } from "node:path";

/** Why a file was not read. `mode` is that of the file or of its folder, octal. */
export type Unread =
  | { problem: "missing" | "unreadable" | "not_a_file" | "too_large" | "not_utf8" }
  | { problem: "permissions"; of: "file" | "folder"; mode: string };

/** Permission bits of group and others: to do anything with a file, or to write to it. */
export const OTHERS = { anything: 0o077, write: 0o022 } as const;

/**
 * The text of a regular file of at most `maxBytes` that others have none of the rights `denied` to, without a byte order
 * mark. Pipes, devices and larger files are refused before a byte of them is read.
 */
export async function readTextFile(
  path: string,
  { maxBytes, denied }: { maxBytes: number; denied: number },
): Promise<{ text: string } | Unread> {
  // Opening a pipe without a writer would wait for ever.
  const file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0)).catch((error: unknown) =>
    error instanceof Error && "code" in error && error.code === "ENOENT" ? "missing" : "unreadable",
  );
  if (typeof file === "string") return { problem: file };
  try {
    // The open file is looked at, not the path, so that it cannot be exchanged in between.
    const status = await file.stat();
    if (!status.isFile()) return { problem: "not_a_file" };
    const rights = modeProblem(status.mode, denied) ?? (await folderProblem(path));
    if (rights !== null) return rights;
    if (status.size > maxBytes) return { problem: "too_large" };
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(await file.readFile()) };
  } catch (error) {
    return { problem: error instanceof TypeError ? "not_utf8" : "unreadable" };
  } finally {
    await file.close();
  }
}

/** Names the fault in the rights of others to an existing file, or null. */
export async function rightsProblem(path: string, denied: number): Promise<Unread | null> {
  const status = await stat(path).catch(() => null);
  if (status === null) return null;
  if (!status.isFile()) return { problem: "not_a_file" };
  return modeProblem(status.mode, denied) ?? folderProblem(path);
}

/** Names the fault in the rights of others to the folder that a new file, with the folders above it, would be made in, or null. */
export async function newFileProblem(path: string): Promise<Unread | null> {
  const found = await folderProblem(path).catch(() => "missing" as const);
  if (found !== "missing") return found;
  const above = dirname(path);
  return above === dirname(above) ? null : newFileProblem(above);
}

/** Windows has other rights than these bits. */
const modeProblem = (mode: number, denied: number): Unread | null =>
  process.platform !== "win32" && (mode & denied) !== 0
    ? { problem: "permissions", of: "file", mode: (mode & 0o777).toString(8) }
    : null;

/** In a folder that everyone may write to anyone can put another file in a file's place, unless the sticky bit is set. */
async function folderProblem(path: string): Promise<Unread | null> {
  const { mode } = await stat(dirname(path));
  if (process.platform === "win32" || (mode & 0o002) === 0 || (mode & 0o1000) !== 0) return null;
  return { problem: "permissions", of: "folder", mode: (mode & 0o777).toString(8) };
}
