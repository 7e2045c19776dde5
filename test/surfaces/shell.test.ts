import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { runCli } from "../support/cli.ts";

const run = promisify(execFile);
let folder: string;
/** The words of each command after `proof402`, with what its help says can follow. */
let commands: Map<string, { names: string[]; options: string[] }>;

/** The first words of the lines of a section of a help text. */
const section = (help: string, name: string): string[] =>
  (help.split(`\n${name}:\n`)[1] ?? "")
    .split("\n\n")[0]
    ?.split("\n")
    .flatMap((line) => /^ {2}(\S.*?)(?: {2}|$)/.exec(line)?.[1] ?? [])
    .map((words) => words.trim()) ?? [];

async function walk(path: string[]): Promise<void> {
  const { stdout } = await runCli([...path, "--help"]);
  const names = section(stdout, "Commands").flatMap((words) => words.split(" ")[0] ?? []);
  const flags = [...section(stdout, "Options"), ...section(stdout, "Global Options")];
  const options = flags.flatMap((words) => /--[a-z0-9-]+/.exec(words)?.[0] ?? []).filter((one) => one !== "--version");
  commands.set(path.join(" "), { names, options });
  for (const name of names) if (name !== "help") await walk([...path, name]);
}

const scriptFor = async (shell: string): Promise<string> => {
  const { code, stdout } = await runCli(["completion", shell]);
  expect(code).toBe(0);
  const file = join(folder, shell === "zsh" ? "_proof402" : `proof402.${shell}`);
  await writeFile(file, stdout);
  return file;
};

/** What a shell offers for each line, the last word of which is being typed. */
type Offers = (lines: readonly string[][]) => Promise<string[][]>;

const perLine = (stdout: string): string[][] =>
  stdout
    .split("\0")
    .slice(0, -1)
    .map((words) => words.split("\n").filter((word) => word !== ""));

const SHELLS: Record<string, Offers> = {
  async bash(lines) {
    const script = `source '${await scriptFor("bash")}'
      t() { COMP_WORDS=(proof402 "$@"); COMP_CWORD=$#; _proof402 2>/dev/null; printf '%s\\n' "\${COMPREPLY[@]}"; printf '\\0'; }`;
    const calls = lines.map((words) => `t ${words.map((word) => `'${word}'`).join(" ")}`);
    return perLine((await run("bash", ["--norc", "-c", [script, ...calls].join("\n")])).stdout);
  },
  async zsh(lines) {
    // What the completion system would list, without a terminal to list it on.
    const script = `compdef() { :; }; _files() { print -r -- FILES; }
      _describe() { local -a made=("\${(@P)2}"); local one; for one in $made; do [[ $one == \${words[CURRENT]}* ]] && print -r -- "\${one%%:*}"; done; return 0; }
      source '${await scriptFor("zsh")}'
      t() { local -a words=(proof402 "$@"); local CURRENT=\${#words}; _proof402; printf '\\0'; }`;
    const calls = lines.map((words) => `t ${words.map((word) => `'${word}'`).join(" ")}`);
    return perLine((await run("zsh", ["-f", "-c", [script, ...calls].join("\n")])).stdout);
  },
  async fish(lines) {
    const calls = lines.map(
      (words) => `complete -C 'proof402 ${words.join(" ")}' | string split -f1 \\t; printf '\\0'`,
    );
    const script = [`source '${await scriptFor("fish")}'`, ...calls].join("\n");
    return perLine((await run("fish", ["-N", "-c", script])).stdout);
  },
};
const isThere = async (program: string, ...args: string[]): Promise<boolean> =>
  run(program, args.length > 0 ? args : ["-c", "exit 0"]).then(
    () => true,
    () => false,
  );

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-shell-"));
  commands = new Map();
  await walk([]);
});
afterAll(() => rm(folder, { recursive: true }));

describe.each(Object.entries(SHELLS))("completion in %s", (shell, offers) => {
  test("offers each command and each option that the help shows", async ({ skip }) => {
    // .ci/run installs all three.
    skip(!(await isThere(shell)) && process.env["CI"] === undefined, `${shell} is not installed`);
    const paths = [...commands.keys()];
    expect(paths.length).toBeGreaterThan(40);
    const words = (path: string): string[] => (path === "" ? [] : path.split(" "));
    // One after the other: two shells that set up their completion at once write one file of it.
    const named = await offers(paths.map((path) => [...words(path), ""]));
    const flags = await offers(paths.map((path) => [...words(path), "--"]));
    for (const [at, path] of paths.entries()) {
      const { names, options } = commands.get(path) ?? { names: [], options: [] };
      expect(named[at], `after "${path}"`).toEqual(expect.arrayContaining(names));
      const got = flags[at]?.filter((one) => one !== "--version" && one.startsWith("--"));
      expect(got?.toSorted(), `options of "${path}"`).toEqual(options.toSorted());
    }
  });

  test("offers the words that an option takes, and knows a command behind options", async ({ skip }) => {
    skip(!(await isThere(shell)) && process.env["CI"] === undefined, `${shell} is not installed`);
    const [assurance, wait, list, shells] = await offers([
      ["buy", "eth-risk", "--assurance", ""],
      ["buy", "eth-risk", "--wait", "ver"],
      ["--json", "receipts", "l"],
      ["completion", "z"],
    ]);
    expect(assurance?.toSorted()).toEqual(["attested", "none", "proven", "signed"]);
    expect([wait, list, shells]).toEqual([["verified"], ["list"], ["zsh"]]);
  });
});

test("another shell than the three is refused by name", async () => {
  const { code, stderr } = await runCli(["completion", "tcsh"]);
  expect(code).toBe(64);
  expect(stderr).toContain("bash, zsh, fish");
});

test("the manual page names each command, option and exit code, and has no fault that man sees", async ({ skip }) => {
  skip(!(await isThere("groff", "--version")) && process.env["CI"] === undefined, "groff is not installed");
  const { stdout } = await runCli(["man"]);
  const plain = stdout.replaceAll(String.raw`\-`, "-");
  for (const [path, { options }] of commands) {
    expect(plain).toContain(path === "" ? ".B proof402\n" : `\\fBproof402 ${path}\\fR`);
    for (const option of options.filter((one) => one !== "--help")) expect(plain).toContain(option);
  }
  for (const code of [0, 1, 2, 64, 130]) expect(plain).toContain(`\n.B ${code}\n`);
  const file = join(folder, "proof402.1");
  await writeFile(file, stdout);
  const { stderr } = await run("groff", ["-man", "-ww", "-Tutf8", "-z", file]);
  expect(stderr).toBe("");
});
