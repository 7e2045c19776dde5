import { build } from "esbuild";
import { readFileSync } from "node:fs";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { PEERS } from "../../src/peers.ts";
import { VERSION } from "../../src/version.ts";
import {
  ARROWS,
  HEAVY,
  RECEIPT_FILES_OF_VERIFY,
  cyclesBetweenFiles,
  cyclesBetweenRooms,
  eagerHeavyImports,
  foreignPackages,
  loadedWith,
  roomOf,
  wrongArrows,
} from "./rooms.ts";
import { ROOT, parseSource, readSources } from "./sources.ts";

const house = readSources(["src", "mcp-server"]);
const around = readSources(["examples", "scripts", "models", "test"]);
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  version: string;
  dependencies: Record<string, string>;
  devDependencies: Record<string, string>;
  peerDependencies: Record<string, string>;
};
const peers = Object.keys(manifest.peerDependencies);
const given = [...Object.keys(manifest.dependencies), ...peers];
const peersOf = (entry: string): string[] =>
  [...loadedWith(entry, house).packages].filter((name) => peers.includes(name)).toSorted();

/** Files that still name a payment method in place of asking the table. The list only shrinks. */
const NAMING_A_METHOD: readonly string[] = ["src/chain/settling.ts"];

describe("the arrows of the house", () => {
  it("every import between rooms is in the table", () => {
    expect(house.length).toBeGreaterThan(30);
    expect(wrongArrows(house)).toEqual([]);
  });

  it("no rooms import each other in a circle", () => {
    expect(cyclesBetweenRooms(house)).toEqual([]);
  });

  it("no files import each other in a circle, types included", () => {
    expect(cyclesBetweenFiles(house)).toEqual([]);
  });

  it("the table itself goes down only", () => {
    const table = Object.entries(ARROWS).map(([room, targets]) =>
      parseSource(`src/${room}/x.ts`, targets.map((to) => `import "../${to}/x.ts";`).join("\n")),
    );
    expect(cyclesBetweenRooms(table)).toEqual([]);
  });

  it("the MCP server imports the package by its public names, and no file of it", () => {
    const { exports } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as { exports: object };
    const entries = Object.keys(exports).map((entry) => entry.replace(/^\./, "proof402"));
    const imports = house.filter(({ path }) => path.startsWith("mcp-server/")).flatMap((source) => source.imports);
    const foreign = imports.filter(({ file }) => file !== undefined && !file.startsWith("mcp-server/"));
    expect(foreign.length).toBeGreaterThan(5);
    expect(foreign.map(({ specifier }) => specifier).filter((one) => !entries.includes(one))).toEqual([]);
  });

  it("verify knows receipts by shape only, and no node builtin", () => {
    const verify = house.filter((source) => roomOf(source.path) === "verify");
    const wrong = verify.flatMap((source) =>
      source.imports
        .filter(
          (one) =>
            isBuiltin(one.specifier) ||
            (one.file?.startsWith("src/receipts/") === true && !RECEIPT_FILES_OF_VERIFY.includes(one.file)),
        )
        .map((one) => `${source.path}: ${one.specifier}`),
    );
    expect(verify.length).toBeGreaterThan(0);
    expect(wrong).toEqual([]);
  });

  it("one exchange format is named by its table, its providers and its sellers only", () => {
    const shared = ["format.ts", "formats.ts", "tensors.ts", "chat.ts"].map((name) => `src/evidence/exchange/${name}`);
    const knowing = house.filter(({ imports }) =>
      imports.some(({ file }) => file?.startsWith("src/evidence/exchange/") === true && !shared.includes(file)),
    );
    const wrong = knowing.filter(
      ({ path }) => !/^src\/(?:evidence\/exchange|market\/providers|node|devnet\/gateway)\//.test(path),
    );
    expect(knowing.length).toBeGreaterThan(0);
    expect(wrong.map(({ path }) => path)).toEqual([]);
  });

  it("one payment method is named by its table, its own files, the records of it and its sellers only", () => {
    const own = [
      /^src\/(?:evidence|payment)\/methods\//,
      /^src\/payment\/(?:channel|voucher-)/,
      /^src\/(?:node|devnet)\//,
      // The method that an asset is paid by if its owner says nothing.
      "src/payment/policy.ts",
      "src/receipts/payment-schema.ts",
      "src/storage/tables.ts",
    ];
    const shared = ["method.ts", "methods.ts", "transfers.ts"].map((name) => `src/evidence/methods/${name}`);
    const naming = house.filter(
      ({ text, imports }) =>
        /"(?:eip3009|permit2|upto|voucher)"/.test(text) ||
        imports.some(({ file }) => file?.startsWith("src/evidence/methods/") === true && !shared.includes(file)),
    );
    const elsewhere = naming.filter(({ path }) => !own.some((one) => path.match(one)?.index === 0));
    expect(naming.length).toBeGreaterThan(0);
    expect(elsewhere.map(({ path }) => path).toSorted()).toEqual(NAMING_A_METHOD);
  });

  it("the table lets only the CLI know the devnet", () => {
    const knowing = Object.keys(ARROWS).filter((room) => ARROWS[room]?.includes("devnet"));
    expect(knowing).toEqual(["cli"]);
  });

  it("the table keeps the seller's rooms from the buyer's side", () => {
    for (const room of ["node", "devnet"]) {
      for (const buyerSide of ["buyer", "tools", "langchain", "cli", "mcp-server", "index"]) {
        expect(ARROWS[room], `${room} -> ${buyerSide}`).not.toContain(buyerSide);
      }
    }
  });

  it("heavy packages are imported at the call that needs them", () => {
    expect(eagerHeavyImports(house)).toEqual([]);
  });

  it("imports only packages its users have: dependencies and peers, never a development tool", () => {
    // The pages' script is bundled when the package is built: nothing of it is imported afterwards.
    const imported = house.filter(({ path }) => !path.startsWith("src/dashboard/browser/"));
    expect(imported.length).toBeLessThan(house.length);
    expect(foreignPackages(imported, given)).toEqual([]);
  });

  it("says the version its package.json says, as lock file and changelog do", () => {
    expect(VERSION).toBe(manifest.version);
    const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
      version: string;
      packages: Record<string, { version: string }>;
    };
    expect([lock.version, lock.packages[""]?.version]).toEqual([VERSION, VERSION]);
    const [newest] = /(?<=^## )\S+/m.exec(readFileSync(join(ROOT, "CHANGELOG.md"), "utf8")) ?? [];
    expect(newest).toBe(VERSION);
  });

  it.each([
    ["src/index.ts", Object.keys(HEAVY)],
    ["src/verify/index.ts", Object.keys(HEAVY)],
    ["src/cli/main.ts", Object.keys(HEAVY)],
    ["mcp-server/index.ts", Object.keys(HEAVY)],
    ["src/langchain/index.ts", ["onnxruntime-node", "@foundry-rs/anvil", "solc"]],
  ])("%s loads with none of the heavy packages", (entry, heavy) => {
    const { files, packages } = loadedWith(entry, house);
    expect(house.map((source) => source.path)).toContain(entry);
    expect(heavy.filter((name) => packages.has(name))).toEqual([]);
    expect([...files].filter((file) => ["node", "devnet"].includes(roomOf(file) ?? ""))).toEqual([]);
  });

  it("a host waits for no code of a tool while it lists them, and help for no schema", () => {
    const listing = loadedWith("src/cli/mcp.ts", house);
    expect([...listing.files]).toContain("mcp-server/server.ts");
    expect([...listing.files].filter((file) => ["tools", "buyer", "receipts"].includes(roomOf(file) ?? ""))).toEqual(
      [],
    );
    const { packages } = loadedWith("src/cli/program.ts", house);
    expect([...packages].filter((name) => !name.startsWith("node:"))).toEqual(["commander"]);
  });

  it.each([
    ["src/index.ts", []],
    ["src/verify/index.ts", []],
    ["src/cli/main.ts", []],
    ["mcp-server/index.ts", []],
    ["src/langchain/index.ts", ["@langchain/core", "@langchain/langgraph", "langchain"]],
  ])("a buyer who imports %s needs no optional peer but the surface's own", (entry, own) => {
    expect(peersOf(entry).filter((name) => !own.includes(name))).toEqual([]);
  });

  it("a command loads only optional peers that it asks for before it starts", () => {
    const asking = { demo: PEERS.demo, devnet: PEERS.devnet, "compile-proof": PEERS.compile, open: PEERS.open };
    const commands = house.map(({ path }) => path).filter((path) => /^src\/cli\/(?!main\.ts|demo\/)/.test(path));
    const asked = (path: string): readonly string[] =>
      asking[/([^/]+)\.ts$/.exec(path)?.[1] as keyof typeof asking] ?? [];
    const devnet = peersOf("src/devnet/index.ts");
    expect(devnet).toContain("hono");
    expect(devnet.filter((name) => !PEERS.devnet.includes(name))).toEqual([]);
    expect(commands.length).toBeGreaterThan(10);
    expect(
      commands.flatMap((path) =>
        peersOf(path)
          .filter((name) => !asked(path).includes(name))
          .map((name) => `${path} loads ${name}`),
      ),
    ).toEqual([]);
  });

  it("every optional peer is tested in one version, and every install line names that one", () => {
    const lines = [...house.map(({ path }) => path), "README.md", "docs/proofs.md"].flatMap((path) =>
      [...readFileSync(join(ROOT, path), "utf8").matchAll(/npm install ((?:@?[a-z][\w./-]*(?:@[\d.]+)? ?)+)/g)].map(
        ([, names = ""]) => names,
      ),
    );
    const versions = lines.flatMap((names) => [...names.matchAll(/(@?[\w/-]+)@(\d[\d.]*\d)/g)]);
    expect(versions.length).toBeGreaterThan(1);
    expect(versions.map(([, name, version]) => [name, version])).toEqual(
      versions.map(([, name = ""]) => [name, manifest.devDependencies[name]]),
    );
    expect(
      Object.values(PEERS)
        .flat()
        .filter((name) => !peers.includes(name)),
    ).toEqual([]);
    expect(peers.filter((name) => !/^\d+\.\d+\.\d+$/.test(manifest.devDependencies[name] ?? ""))).toEqual([]);
  });

  it("the verify entry bundles for a browser, with nothing of Node in it, under 155 kB gzipped", async () => {
    const result = await build({
      entryPoints: [join(ROOT, "src/verify/index.ts")],
      bundle: true,
      write: false,
      metafile: true,
      minify: true,
      platform: "browser",
      format: "esm",
      logLevel: "silent",
      absWorkingDir: ROOT,
    });
    const inputs = Object.values(result.metafile.inputs);
    const builtins = inputs.flatMap((input) =>
      input.imports.filter((one) => isBuiltin(one.path)).map((one) => one.path),
    );
    expect(inputs.length).toBeGreaterThan(10);
    expect(builtins).toEqual([]);
    // `import { z } from "zod"` takes in all of zod, with its messages in fifty languages; `import * as z` what is used.
    const [output] = Object.values(result.metafile.outputs);
    const kept = Object.entries(output?.inputs ?? {}).filter(([, { bytesInOutput }]) => bytesInOutput > 0);
    expect(kept.map(([path]) => path).filter((path) => /locales\/(?!en\.)/.test(path))).toEqual([]);
    expect(gzipSync(result.outputFiles[0]?.contents ?? "").length).toBeLessThan(155_000);
  });
});

describe("the shape of files", () => {
  it("no default exports", () => {
    const found = [...house, ...around].filter((source) => source.hasDefaultExport).map((source) => source.path);
    expect(found).toEqual([]);
  });

  it("no file of the library is longer than 320 lines, generated artifacts aside", () => {
    const long = house
      .filter((source) => source.lines > 320 && !source.path.endsWith(".artifact.ts"))
      .map((source) => `${source.path} (${source.lines})`);
    expect(long).toEqual([]);
  });

  it("only index.ts re-exports, and always by name", () => {
    const wrong = house.flatMap((source) =>
      source.reexports
        .filter((one) => one.names === "all" || !source.path.endsWith("/index.ts"))
        .map((one) => `${source.path} re-exports ${one.file}`),
    );
    expect(wrong).toEqual([]);
  });

  it("no file is named for being a leftover", () => {
    const wrong = house.map((source) => source.path).filter((path) => /util|helper|manager|misc|common/i.test(path));
    expect(wrong).toEqual([]);
  });
});

describe("these checks can fail", () => {
  const wrongOnes = (path: string, text: string): string[] => wrongArrows([parseSource(path, text)]);

  it.each([
    ["an import upwards", "src/payment/x.ts", `import { buy } from "../buyer/buy.ts";`],
    ["a type upwards", "src/verify/x.ts", `import type { Policy } from "../payment/policy.ts";`],
    ["an inline type", "src/verify/x.ts", `export type P = import("../payment/policy.ts").Policy;`],
    ["a dynamic import", "src/node/x.ts", `const f = async () => await import("../buyer/buy.ts");`],
    ["a re-export", "src/tools/x.ts", `export { startDevnet } from "../devnet/index.ts";`],
    ["a library importing the devnet", "src/index.ts", `export { startDevnet } from "./devnet/index.ts";`],
    ["a surface importing a surface", "mcp-server/x.ts", `import { a } from "../src/langchain/index.ts";`],
    ["a library importing a test", "src/tools/x.ts", `import "../../test/house/rooms.ts";`],
    ["a room nobody declared", "src/attic/x.ts", `export const x = 1;`],
  ])("%s is found", (_what, path, text) => {
    expect(wrongOnes(path, text)).toHaveLength(1);
  });

  it("a specifier inside a string or a comment is not an import", () => {
    expect(
      wrongOnes("src/verify/x.ts", `// import "../buyer/buy.ts";\nexport const s = 'import "../buyer/buy.ts"';`),
    ).toEqual([]);
  });

  it("a circle of rooms is found and named once", () => {
    const circle = [
      parseSource("src/market/x.ts", `import type { A } from "../payment/x.ts";`),
      parseSource("src/payment/x.ts", `import type { B } from "../market/x.ts";`),
      parseSource("src/buyer/x.ts", `import type { B } from "../market/x.ts";`),
    ];
    expect(cyclesBetweenRooms(circle)).toEqual(["market <-> payment"]);
  });

  it("a circle of files in one room is found, and a file that only leads to it is not part of it", () => {
    const circle = [
      parseSource("src/buyer/a.ts", `import type { B } from "./b.ts";`),
      parseSource("src/buyer/b.ts", `export type A = import("./a.ts").A;`),
      parseSource("src/buyer/c.ts", `import { a } from "./a.ts";`),
    ];
    expect(cyclesBetweenFiles(circle)).toEqual(["src/buyer/a.ts <-> src/buyer/b.ts"]);
  });

  it("a heavy package at import is found, the same one at the call is not", () => {
    const eager = parseSource("src/buyer/x.ts", `import { InferenceSession } from "onnxruntime-node";`);
    const lazy = parseSource("src/buyer/y.ts", `export const load = () => import("onnxruntime-node");`);
    const deep = parseSource("src/tools/z.ts", `import { tool } from "@langchain/core/tools";`);
    expect(eagerHeavyImports([eager, lazy, deep])).toHaveLength(2);
  });

  it("a development tool in the library is found", () => {
    const tool = parseSource(
      "src/devnet/x.ts",
      `const solc = () => import("solc"); import { readFileSync } from "node:fs";`,
    );
    expect(foreignPackages([tool], given)).toEqual(["src/devnet/x.ts imports solc"]);
  });

  it("what an entry loads is followed through files, and stops at dynamic and type imports", () => {
    const files = [
      parseSource("src/index.ts", `export { a } from "./buyer/a.ts"; import type { T } from "solc";`),
      parseSource("src/buyer/a.ts", `import ort from "onnxruntime-node"; export const a = () => import("langchain");`),
    ];
    expect([...loadedWith("src/index.ts", files).packages]).toEqual(["onnxruntime-node"]);
  });

  it("default exports are found in every form", () => {
    for (const text of [
      "export default 1;",
      "const a = 1; export { a as default };",
      `export { default } from "./a.ts";`,
    ]) {
      expect(parseSource("src/x.ts", text).hasDefaultExport, text).toBe(true);
    }
  });
});
