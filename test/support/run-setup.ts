import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { build, type Plugin } from "esbuild";

const ROOT = join(import.meta.dirname, "../..");

/** Every module finds its neighbours (models, processes that it starts) where the build has them. */
const atHome: Plugin = {
  name: "at-home",
  setup(bundling) {
    bundling.onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => ({
      contents: readFileSync(path, "utf8").replaceAll("import.meta.url", JSON.stringify(pathToFileURL(path).href)),
    }));
  },
};

/**
 * Makes one file of the built command line and the packages it loads, once per run: hundreds of starts take half their
 * time. The package itself is started in `test/surfaces/peers.test.ts` and from its tarball in `.ci/run`.
 */
export async function setup(): Promise<() => void> {
  // Inside node_modules, so that it finds the packages it leaves out: the native ones and the optional peers.
  const folder = join(ROOT, "node_modules/.cache", `proof402-run-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  await build({
    entryPoints: [join(ROOT, "dist/src/cli/main.js")],
    outdir: folder,
    outExtension: { ".js": ".mjs" },
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node20",
    external: ["libsql", "onnxruntime-node", "snarkjs", "@ezkljs/engine", "@foundry-rs/anvil"],
    banner: {
      js: `import { createRequire as requireFor } from "node:module";\nconst require = requireFor(import.meta.url);`,
    },
    plugins: [atHome],
    logLevel: "error",
  });
  process.env["PROOF402_TEST_RUN"] = folder;
  return () => rmSync(folder, { recursive: true, force: true });
}
