import { execFile } from "node:child_process";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";
import { ROOT, readSources, type Source } from "./sources.ts";

const house = new Map(readSources(["src", "mcp-server"]).map((source) => [source.path, source]));
const ENTRIES = ["langchain", "tools", "verify", "node", "devnet"].map((room) => `src/${room}/index.ts`);
const entries = ["src/index.ts", "mcp-server/index.ts", ...ENTRIES];

/** The functions of the public entries, each with the file that declares it. */
const functions = entries.flatMap((entry) => {
  const face = house.get(entry);
  if (face === undefined) return [];
  const declared = ({ path, exports }: Source, names: readonly string[] | "all"): string[] =>
    exports
      .filter(({ name, kind }) => kind === "function" && (names === "all" || names.includes(name)))
      .map(({ name }) => `${path} ${name}`);
  const passedOn = face.reexports.flatMap(({ file, names }) => {
    const source = house.get(file);
    return source === undefined ? [] : declared(source, names);
  });
  return [...declared(face, "all"), ...passedOn];
});

/** The code of the `@example` in the doc comment right before a declaration, or null. */
function exampleOf(text: string, name: string): string | null {
  const declaration = new RegExp(`export (?:async )?(?:function|const) ${name}\\b`).exec(text);
  const [, comment = ""] = /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*$/.exec(text.slice(0, declaration?.index ?? 0)) ?? [];
  const [, code] = /@example\s+\* ```ts\n([^]*?)\n \* ```/.exec(comment) ?? [];
  return code?.replace(/^ \* ?/gm, "") ?? null;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "proof402-examples-"));
  await symlink(join(ROOT, "node_modules"), join(folder, "node_modules"));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("every public function shows an example, and each compiles against the built package", async () => {
  const examples = [...new Set(functions)].map((place) => {
    const [path = "", name = ""] = place.split(" ");
    return { place, code: exampleOf(house.get(path)?.text ?? "", name) };
  });
  expect(examples.length).toBeGreaterThan(30);
  expect(examples.filter(({ code }) => code === null).map(({ place }) => place)).toEqual([]);
  for (const [at, { place, code }] of examples.entries())
    await writeFile(join(folder, `example-${at}.ts`), `// ${place}\n${code ?? ""}\nexport {};\n`);
  // One that is wrong shows that the others are looked at.
  await writeFile(join(folder, "wrong.ts"), 'import { formatUnits } from "proof402";\nformatUnits(true, 6);\n');
  const said = (await compile()).split("\n").filter((line) => line !== "");
  expect(said).toEqual([expect.stringContaining("wrong.ts(2,13)")]);
});

it("finds the example before a declaration, and none elsewhere", () => {
  expect(exampleOf("/** Says nothing. */\nexport const a = () => 1;", "a")).toBeNull();
  const text = "/**\n * A.\n *\n * @example\n * ```ts\n * a();\n * ```\n */\nexport const a = () => 1;";
  expect(exampleOf(text, "a")).toBe("a();");
  expect(exampleOf(`${text}\nexport function b() {}`, "b")).toBeNull();
});

/** What the compiler says of the folder's files; empty if it accepts them. */
async function compile(): Promise<string> {
  const paths = Object.fromEntries(
    ["", "/langchain", "/tools", "/verify", "/node", "/devnet"].map((entry) => [
      `proof402${entry}`,
      [join(ROOT, "dist", "src", entry, "index.d.ts")],
    ]),
  );
  const options = {
    extends: join(ROOT, "tsconfig.json"),
    compilerOptions: {
      rootDir: "/",
      lib: ["es2023", "dom", "esnext.disposable"],
      typeRoots: [join(ROOT, "node_modules", "@types")],
      paths: { ...paths, "proof402/mcp": [join(ROOT, "dist", "mcp-server", "index.d.ts")] },
    },
    include: [join(folder, "*.ts")],
  };
  await writeFile(join(folder, "tsconfig.json"), JSON.stringify(options));
  await writeFile(join(folder, "package.json"), JSON.stringify({ type: "module" }));
  const said = await promisify(execFile)(join(ROOT, "node_modules", ".bin", "tsc"), ["-p", folder]).catch(
    (error: unknown) => error as { stdout: string },
  );
  return said.stdout;
}
