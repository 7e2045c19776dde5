import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isBrief } from "../support/campaign.ts";
import { compileContracts, FOLDERS } from "../../scripts/compile-contracts.ts";

const folders = Object.keys(FOLDERS) as (keyof typeof FOLDERS)[];

it.skipIf(isBrief).each(folders)("%s: the artifacts are what their sources compile to", async (folder) => {
  const directory = join(import.meta.dirname, "../..", folder);
  const compiled = await compileContracts(folder);
  const written = (await readdir(directory)).filter((name) => name.endsWith(".artifact.ts"));
  expect(Object.keys(compiled).toSorted()).toEqual(written.toSorted());
  for (const [name, text] of Object.entries(compiled)) {
    // As one question: a difference in bytecode tells nobody anything.
    const same = (await readFile(join(directory, name), "utf8")) === text;
    expect(same, `${name} is stale: npm run generate:contracts`).toBe(true);
  }
});
