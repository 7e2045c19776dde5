import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";

// As it is installed: the demo starts its own program again by its path.
const main = fileURLToPath(new URL("../../dist/src/cli/main.js", import.meta.url));
let directory: string;
let demo: Awaited<ReturnType<typeof runCli>>;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "proof402 demo's "));
  // Somebody's own folder of that name.
  await mkdir(join(directory, "proof402-demo"));
  demo = await runCli(["demo"], { main, cwd: directory });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** The commands in the transcript, each with the lines that stand under it. */
const shown = (): { line: string; output: string }[] =>
  demo.stdout
    .split(/^ {2}\$ /m)
    .slice(1)
    .map((text) => {
      const [line = "", ...rest] = text.split("\n");
      const quoted = rest.filter((one) => one.startsWith("  | ")).map((one) => one.slice(4));
      return { line, output: `${quoted.join("\n")}\n` };
    });

test("does all it sets out to do, and leaves one folder beside what was there", async () => {
  expect(demo).toMatchObject({ code: 0, stdout: expect.stringContaining("The demo did all it set out to do.") });
  expect((await readdir(directory)).toSorted()).toEqual(["proof402-demo", "proof402-demo-2"]);
  expect(await readdir(join(directory, "proof402-demo"))).toEqual([]);
  expect((await readdir(join(directory, "proof402-demo-2"))).toSorted()).toEqual([
    "README.md",
    "buyer.key",
    "proof402.config.json",
    "proof402.db",
    "proof402.devnet.json",
    "receipt.json",
    "trust.json",
  ]);
});

test("prints only commands that work when they are typed again, as its folder's README has them", async () => {
  const readme = await readFile(join(directory, "proof402-demo-2", "README.md"), "utf8");
  const commands = shown();
  expect(commands.map(({ line }) => line)).toEqual([...readme.matchAll(/^ {4}(.+)$/gm)].map(([, line]) => line));
  expect(commands).toHaveLength(2);
  for (const { line, output } of commands) {
    const again = spawnSync("sh", ["-c", line], {
      cwd: directory,
      env: { PATH: process.env["PATH"], HOME: "/nonexistent", NO_COLOR: "1" },
      encoding: "utf8",
    });
    expect({ status: again.status, printed: again.stdout + again.stderr }).toEqual({ status: 0, printed: output });
  }
  expect(commands[0]?.output).toContain("VERIFIED  assurance attested (SIMULATED hardware)");
});

test("says within a second what takes long", () => {
  expect(demo.stderr).toContain("Starting a chain, a token, a facilitator and six sellers ...");
});
