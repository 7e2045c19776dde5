import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { isBrief } from "../support/campaign.ts";
import { prove, setUp, type EzklFiles } from "../support/ezkl.ts";
import type { VectorResult } from "./vectors.ts";

const RUN = new URL("../../dist/test/conformance/run.js", import.meta.url).pathname;
const INPUT = [0.5, -1.25];
let root: string;
let files: EzklFiles;
let proof: Uint8Array;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "proof402-ezkl-vectors-"));
  files = setUp({
    weights: [[0.5], [-0.25]],
    logrows: 6,
    visibility: { inputs: "Public", outputs: "Public", weights: "Fixed" },
  });
  ({ proof } = prove(files, INPUT));
});
afterAll(() => rm(root, { recursive: true, force: true }));

/** A folder of vectors with one proof's files in it, as EZKL writes and names them. */
async function folderOf(given: EzklFiles, one: Uint8Array, srs = "kzg.srs"): Promise<string> {
  const directory = await mkdtemp(join(root, "vectors-"));
  const folder = join(directory, "ezkl", "linear");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "proof.json"), one);
  await writeFile(join(folder, "vk.key"), given.key);
  await writeFile(join(folder, "settings.json"), given.settings);
  await writeFile(join(folder, srs), given.srs);
  return directory;
}

const conformance = (directory: string): Promise<{ code: number; vectors: VectorResult[] }> =>
  new Promise((resolve) => {
    execFile(process.execPath, [RUN, "--vectors", directory, "--json"], (error, stdout) => {
      const { vectors } = JSON.parse(stdout === "" ? `{"vectors":[]}` : stdout) as { vectors: VectorResult[] };
      resolve({ code: error === null ? 0 : Number(error.code), vectors });
    });
  });

test("a folder of EZKL's files verifies, and fails with proof, instances or key changed", async () => {
  const { code, vectors } = await conformance(await folderOf(files, proof));
  expect(vectors.filter((one) => !one.met)).toEqual([]);
  expect(code).toBe(0);
  expect(vectors.filter(({ got }) => got === "pass").map(({ at }) => at)).toEqual(["rest"]);
  const refused = (file: string, what: RegExp) =>
    vectors.filter((one) => one.file === file && what.test(one.at)).length;
  expect(refused("proof.json", /^byte/)).toBe(8);
  expect(refused("proof.json", /^instance/)).toBe(3);
  expect(refused("vk.key", /turned/)).toBe(5);
});

test.skipIf(isBrief)(
  "private inputs verify as far as there is something to verify, under the other name of the parameters",
  async () => {
    const hidden = setUp({
      weights: [[0.5], [-0.25]],
      logrows: 6,
      visibility: { inputs: "Private", outputs: "Public", weights: "Fixed" },
    });
    const { code, vectors } = await conformance(await folderOf(hidden, prove(hidden, INPUT).proof, "kzg"));
    expect([code, vectors.filter((one) => !one.met)]).toEqual([0, []]);
  },
);

test.skipIf(isBrief)("files that do not belong together, or are not all there, are not met", async () => {
  const other = setUp({
    weights: [[0.25], [0.75]],
    logrows: 6,
    visibility: { inputs: "Public", outputs: "Public", weights: "Fixed" },
  });
  const mixed = await conformance(await folderOf(files, prove(other, INPUT).proof));
  expect(mixed.code).toBe(1);
  expect(mixed.vectors.filter((one) => !one.met)).toMatchObject([{ expected: "pass", got: "fail (proof_invalid)" }]);
  const unknown = await conformance(await folderOf(files, proof, "params"));
  expect(unknown.vectors).toMatchObject([{ met: false, got: "fail (unreadable)" }]);
});
