import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { serializeReceipt } from "../../src/receipts/receipt.ts";
import type { Receipt } from "../../src/receipts/schema.ts";
import { runCli } from "../support/cli.ts";
import { makeFixture } from "../support/fixture-receipt.ts";

let place: string;
let folder: string;
let receipt: Receipt;
const inFolder = (...names: string[]): string => join(folder, ...names);
const judged = (target: string, ...more: string[]) =>
  runCli(["verify", target, "--trust", join(place, "trust.json"), ...more], { cwd: place });

type Line = { file: string; verdict?: string; error?: string; notProven?: string[]; simulated?: boolean };
const linesOf = (stdout: string): Line[] =>
  stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);

beforeAll(async () => {
  place = await mkdtemp(join(tmpdir(), "proof402-folder-"));
  folder = join(place, "receipts");
  const fixture = await makeFixture({ signed: true });
  ({ receipt } = fixture);
  await mkdir(inFolder("2026"), { recursive: true });
  await writeFile(
    join(place, "trust.json"),
    JSON.stringify({ type: "proof402/trust", version: 1, policy: fixture.policy }),
  );
  await writeFile(inFolder("b-genuine.json"), serializeReceipt(receipt));
});
afterAll(() => rm(place, { recursive: true, force: true }));

test("judges each file as it is judged alone, in the order of names, and ends with the worst", async () => {
  const clean = await judged(folder);
  expect([clean.code, clean.stdout]).toEqual([0, expect.stringMatching(/^verified +attested \(SIMULATED hardware\)/)]);
  expect(clean.stdout).toMatch(/1 files: 1 verified, 1 of them on SIMULATED hardware\. Judged by .*trust\.json/);
  expect(clean.stdout).toContain("That the model's answer is right or good. (1 files)");

  const forged = structuredClone(receipt);
  for (const { evidence } of forged.later)
    if (evidence.kind === "settlement.x402") evidence.signature = `0x${"11".repeat(64)}1b`;
  await writeFile(inFolder("2026", "forged.json"), serializeReceipt({ ...forged, appraisals: [] }));
  await writeFile(inFolder("a-altered.json"), `${new TextDecoder().decode(serializeReceipt(receipt))}{}`);
  await writeFile(inFolder("c\u001b[2J.json"), "{}");
  await writeFile(inFolder("notes.txt"), "of no concern");
  const names = [["2026", "forged.json"], ["a-altered.json"], ["b-genuine.json"], ["c\u001b[2J.json"]];
  const all = await judged(folder, "--json");
  const lines = linesOf(all.stdout);
  expect(lines.slice(0, -1).map(({ file }) => file)).toEqual(names.map((parts) => inFolder(...parts)));
  expect(lines.at(-1)).toMatchObject({ files: 4, verified: 1, failed: 1, unreadable: 2, otherFiles: 1 });
  expect(all.code).toBe(1);
  for (const { file, verdict, error } of lines.slice(0, -1)) {
    const { code, stdout, stderr } = await judged(file, "--json");
    expect(`${stdout}${stderr}`).toContain(`"${verdict ?? error}"`);
    expect(code).toBe(verdict === undefined ? 64 : verdict === "verified" ? 0 : 1);
  }
  // No name of a file steers a terminal.
  expect((await judged(folder)).stdout).not.toContain("\u001b");
});

test("judges a larger folder on threads with the same lines", async () => {
  const many = join(place, "many");
  await mkdir(many);
  const copies = Array.from({ length: 200 }, (_, at) => join(many, `${String(at).padStart(3, "0")}.json`));
  for (const [at, copy] of copies.entries())
    if (at === 150) await writeFile(copy, "{");
    else await cp(inFolder("b-genuine.json"), copy);
  const { code, stdout } = await judged(many, "--json");
  const lines = linesOf(stdout);
  expect(lines.slice(0, -1).map(({ file }) => file)).toEqual(copies);
  expect(lines.map(({ verdict, error }) => verdict ?? error)).toEqual([
    ...copies.map((_, at) => (at === 150 ? "receipt_not_json" : "verified")),
    undefined,
  ]);
  expect(code).toBe(64);
  // A first line's rest stands in every later line, too.
  const { file: _file, ...first } = lines[0]!;
  expect(lines[199]).toMatchObject(first);
});

test("refuses a folder without receipt files, and options of single files", async () => {
  const empty = join(place, "empty");
  await mkdir(empty);
  for (const { code } of [await judged(empty), await judged(folder, "--online"), await judged(folder, "--head", "00")])
    expect(code).toBe(64);
});
