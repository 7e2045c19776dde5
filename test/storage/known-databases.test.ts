import { chmodSync, copyFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openDatabase } from "../../src/storage/database.ts";
import { noteDatabase } from "../../src/storage/known-databases.ts";
import { temporaryDirectory } from "../payment/fixtures.ts";

const address = `0x${"ab".repeat(20)}`;

/** What is known of other databases as one of them is opened. */
async function note(folder: string, path: string, of = address): Promise<string[]> {
  const db = await openDatabase(path);
  const others = await noteDatabase(db, { folder, address: of, path });
  await db.destroy();
  return others.map((other) => other.path);
}

it("one database, opened again and again, is alone", async () => {
  const place = temporaryDirectory();
  const [folder, one] = [join(place, "notes"), join(place, "one.db")];
  for (let count = 0; count < 3; count += 1) expect(await note(folder, one)).toEqual([]);
  expect(readdirSync(folder)).toHaveLength(1);
});

it("a second is noticed from either side, and of another wallet is none", async () => {
  const place = temporaryDirectory();
  const [folder, one, two] = [join(place, "notes"), join(place, "one.db"), join(place, "two.db")];
  await note(folder, one);
  expect(await note(folder, two)).toEqual([one]);
  expect(await note(folder, one)).toEqual([two]);
  expect(await note(folder, join(place, "three.db"), `0x${"cd".repeat(20)}`)).toEqual([]);
});

it("a moved one is the same; a copy beside its original is a second; what is noted no more is forgotten", async () => {
  const place = temporaryDirectory();
  const [folder, one, moved, copy] = ["notes", "one.db", "moved.db", "copy.db"].map((name) => join(place, name));
  if (folder === undefined || one === undefined || moved === undefined || copy === undefined) throw new Error("named");
  await note(folder, one);
  renameSync(one, moved);
  expect(await note(folder, moved)).toEqual([]);
  expect(await note(folder, moved)).toEqual([]);
  copyFileSync(moved, copy);
  expect(await note(folder, copy)).toEqual([moved]);
  rmSync(moved);
  expect(await note(folder, copy)).toEqual([]);
  await note(folder, one);
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
  expect(await note(folder, one)).toEqual([]);
});

it("a folder that cannot be made, read or understood says nothing and stops nothing", async () => {
  const place = temporaryDirectory();
  const one = join(place, "one.db");
  writeFileSync(join(place, "file"), "");
  expect(await note(join(place, "file"), one)).toEqual([]);
  expect(await note(join(place, "file/below"), one)).toEqual([]);
  const folder = join(place, "notes");
  await note(folder, one);
  chmodSync(folder, 0o500);
  await note(folder, join(place, "two.db"));
  chmodSync(folder, 0o700);
});
