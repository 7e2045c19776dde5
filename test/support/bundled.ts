import { mkdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

/** A script that tests start as a process, made one file so that each of many starts fast. */
export type Bundled = { file: string; make(): Promise<void>; remove(): void };

export function bundled(script: string): Bundled {
  const name = basename(script, ".ts");
  // Inside node_modules, so that the bundle finds the packages it leaves out.
  const folder = join(import.meta.dirname, "../../node_modules/.cache", `proof402-${name}-${process.pid}`);
  const file = join(folder, `${name}.mjs`);
  return {
    file,
    async make() {
      mkdirSync(folder, { recursive: true });
      await build({
        entryPoints: [script],
        outfile: file,
        bundle: true,
        packages: "external",
        platform: "node",
        format: "esm",
        target: "node20",
        logLevel: "error",
      });
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}
