import { execFileSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OTHERS, readTextFile } from "../../src/files/read-file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "proof402-files-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const written = (content: string | Uint8Array, mode = 0o600): string => {
  const path = join(folder, "file");
  writeFileSync(path, content);
  chmodSync(path, mode);
  return path;
};
const read = (path: string, denied: number = OTHERS.write) => readTextFile(path, { maxBytes: 1000, denied });

describe("a text file", () => {
  it("is read without its byte order mark", async () => {
    expect(await read(written("\ufefftext"))).toEqual({ text: "text" });
  });

  it("that is no UTF-8 is not guessed at", async () => {
    expect(await read(written(Buffer.from("\ufefftext", "utf16le")))).toEqual({ problem: "not_utf8" });
  });

  it("that is not there, a folder, or longer than may be is not read", async () => {
    expect(await read(join(folder, "none"))).toEqual({ problem: "missing" });
    expect(await read(folder)).toEqual({ problem: "not_a_file" });
    const huge = written("");
    truncateSync(huge, 2 ** 40);
    expect(await read(huge)).toEqual({ problem: "too_large" });
  });

  it("is no pipe that is waited for and no device that never ends, by link or by name", async () => {
    const pipe = join(folder, "pipe");
    execFileSync("mkfifo", [pipe]);
    chmodSync(pipe, 0o600);
    symlinkSync("/dev/zero", join(folder, "zero"));
    for (const path of [pipe, join(folder, "zero"), "/dev/null"])
      expect(await read(path)).toEqual({ problem: "not_a_file" });
  });
});

describe("the rights that others have", () => {
  it.each([
    [0o644, OTHERS.write, true],
    [0o664, OTHERS.write, false],
    [0o646, OTHERS.write, false],
    [0o600, OTHERS.anything, true],
    [0o640, OTHERS.anything, false],
    [0o601, OTHERS.anything, false],
  ])("%o under %o: read %s", async (mode, denied, may) => {
    const found = await read(written("text", mode), denied);
    expect(found).toEqual(may ? { text: "text" } : { problem: "permissions", of: "file", mode: mode.toString(8) });
  });

  it("count to the folder, too, where anyone could put another file in its place", async () => {
    const path = written("text");
    chmodSync(folder, 0o777);
    expect(await read(path)).toEqual({ problem: "permissions", of: "folder", mode: "777" });
    chmodSync(folder, 0o1777);
    expect(await read(path)).toEqual({ text: "text" });
    mkdirSync(join(folder, "own"));
    writeFileSync(join(folder, "own/file"), "text");
    expect(await read(join(folder, "own/file"))).toEqual({ text: "text" });
  });
});
