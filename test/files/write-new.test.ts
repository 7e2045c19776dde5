import { chmod, mkdtemp, readFile, readdir, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { writeNew } from "../../src/files/write-new.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-files-"));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe("a new file", () => {
  it("is written with the folders above it, and for whom it is meant", async () => {
    const path = join(folder, "deep/er/key");
    await writeNew(path, "secret\n", { mode: 0o600 });
    expect(await readFile(path, "utf8")).toBe("secret\n");
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await writeNew(join(folder, "open"), Uint8Array.of(1, 2));
    expect((await stat(join(folder, "open"))).mode & 0o022).toBe(0);
  });

  it("takes the place of nothing: no file, however protected, no folder and no link, even to nowhere", async () => {
    const own = join(folder, "own");
    await writeFile(own, "theirs");
    await chmod(own, 0o666);
    await symlink(own, join(folder, "link"));
    await symlink(join(folder, "nowhere"), join(folder, "dangling"));
    for (const name of ["own", "link", "dangling"])
      await expect(writeNew(join(folder, name), "ours")).rejects.toMatchObject({ code: "file_exists" });
    await expect(writeNew(folder, "ours")).rejects.toMatchObject({ code: "file_exists" });
    expect(await readFile(own, "utf8")).toBe("theirs");
    expect((await readdir(folder)).toSorted()).toEqual(["dangling", "link", "own"]);
  });

  it("is written by one of many that want to", async () => {
    const path = join(folder, "one");
    const tries = await Promise.allSettled(Array.from({ length: 8 }, (_, at) => writeNew(path, `${at}`)));
    expect(tries.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(await readFile(path, "utf8")).toBe(`${tries.findIndex(({ status }) => status === "fulfilled")}`);
  });

  it("under a file is an error that names it", async () => {
    await writeFile(join(folder, "file"), "");
    await expect(writeNew(join(folder, "file/below"), "x")).rejects.toMatchObject({
      code: "file_unwritable",
      message: expect.stringContaining("file/below") as string,
    });
  });
});
