import { readFile, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

// Runs from dist: the pages' script is bundled from what was compiled, with its charts, and stands beside it in the package.
const place = (name: string): string => fileURLToPath(new URL(`../src/dashboard/browser/${name}`, import.meta.url));

await build({
  entryPoints: [place("app.js")],
  outfile: place("app.bundle.js"),
  bundle: true,
  platform: "browser",
  format: "iife",
  target: "es2022",
  minify: true,
  // The charts' license stays with them.
  legalComments: "inline",
});
const { resolve } = createRequire(import.meta.url);
await writeFile(place("charts.css"), await readFile(resolve("uplot/dist/uPlot.min.css")));
