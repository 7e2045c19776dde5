import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, it } from "vitest";
import { compileContracts } from "../../scripts/compile-contracts.ts";

const directory = join(import.meta.dirname, "../../src/devnet/contracts");

it("the artifacts in the repository are what their sources compile to", async () => {
  const compiled = await compileContracts(directory);
  expect(Object.keys(compiled).toSorted()).toEqual(["dev-multicall.artifact.ts", "dev-usd.artifact.ts"]);
  for (const [name, text] of Object.entries(compiled)) {
    // As one question: a difference in bytecode tells nobody anything.
    const same = (await readFile(join(directory, name), "utf8")) === text;
    expect(same, `${name} is stale: npm run build && node dist/scripts/compile-contracts.js`).toBe(true);
  }
});
