import { chmod, lstat, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { replaceText } from "../../src/files/replace.ts";

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-replace-"));
  path = join(folder, "file.json");
  await writeFile(path, "before", { mode: 0o640 });
  await chmod(path, 0o640);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test("the new text takes the old one's place, with its rights, also where a link leads to it", async () => {
  const link = join(folder, "link.json");
  await symlink(path, link);
  await replaceText(link, { before: "before", after: "after" });
  expect(await readFile(path, "utf8")).toBe("after");
  expect((await stat(path)).mode & 0o777).toBe(0o640);
  expect((await lstat(link)).isSymbolicLink()).toBe(true);
  expect((await readdir(folder)).toSorted()).toEqual(["file.json", "link.json"]);
});

test("T100: a file that was changed meanwhile stays as it was changed", async () => {
  await writeFile(path, "changed");
  await expect(replaceText(path, { before: "before", after: "after" })).rejects.toMatchObject({ code: "file_changed" });
  expect(await readFile(path, "utf8")).toBe("changed");
  expect(await readdir(folder)).toEqual(["file.json"]);
});

test("of two commands at once one writes, and the other's file beside it stays", async () => {
  const both = await Promise.allSettled(
    ["one", "other"].map((after) => replaceText(path, { before: "before", after })),
  );
  const lost = both.flatMap((one) => (one.status === "rejected" ? [(one.reason as { code: string }).code] : []));
  expect(lost).toHaveLength(1);
  expect(["file_exists", "file_changed"]).toContain(lost[0]);
  expect(["one", "other"]).toContain(await readFile(path, "utf8"));
  await writeFile(`${path}.new`, "another command's");
  await expect(replaceText(path, { before: await readFile(path, "utf8"), after: "third" })).rejects.toMatchObject({
    code: "file_exists",
  });
  expect(await readFile(`${path}.new`, "utf8")).toBe("another command's");
});
