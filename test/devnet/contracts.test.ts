import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isBrief } from "../support/campaign.ts";
import { compileContracts } from "../../scripts/compile-contracts.ts";

const directory = join(import.meta.dirname, "../../src/devnet/contracts");

it.skipIf(isBrief)("the artifacts in the repository are what their sources compile to", async () => {
  const compiled = await compileContracts(directory);
  const written = (await readdir(directory)).filter((name) => name.endsWith(".artifact.ts"));
  expect(Object.keys(compiled).toSorted()).toEqual(written.toSorted());
  for (const [name, text] of Object.entries(compiled)) {
    // As one question: a difference in bytecode tells nobody anything.
    const same = (await readFile(join(directory, name), "utf8")) === text;
    expect(same, `${name} is stale: npm run generate:contracts`).toBe(true);
  }
});
