import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

/** A script that tests start as a process, made one file so that each of many starts fast. */
export type Bundled = { file: string; make(): Promise<void>; remove(): void };

export function bundled(script: string): Bundled {
  const name = basename(script, ".ts");
  const folder = join(CACHE, `proof402-${name}-${process.pid}`);
  return {
    file: join(folder, `${name}.mjs`),
    make: () => bundleInto(folder, script),
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Inside node_modules, so that a bundle finds the packages it leaves out. */
export const CACHE = join(import.meta.dirname, "../../node_modules/.cache");
/** The native packages and the optional peers. */
const LEFT_OUT = ["libsql", "onnxruntime-node", "pg", "snarkjs", "@ezkljs/engine", "@foundry-rs/anvil"];

/** Makes one file of a script and the packages it loads; what it loads later stands beside it. */
export async function bundleInto(folder: string, script: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [script],
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    platform: "node",
    mainFields: ["module", "main"],
    format: "esm",
    target: "node20",
    external: LEFT_OUT,
    banner: {
      js: `import { createRequire as requireFor } from "node:module";\nconst require = requireFor(import.meta.url);`,
    },
    plugins: [atHome],
    logLevel: "error",
  });
}

/** Every module finds its neighbours (models, processes that it starts) where it stands itself. */
const atHome: Plugin = {
  name: "at-home",
  setup(bundling) {
    bundling.onLoad({ filter: /\.[jt]s$/ }, ({ path }) => {
      if (path.includes("/node_modules/")) return undefined;
      const contents = readFileSync(path, "utf8").replaceAll(
        "import.meta.url",
        JSON.stringify(pathToFileURL(path).href),
      );
      return { contents, loader: path.endsWith(".ts") ? "ts" : "js" };
    });
  },
};
