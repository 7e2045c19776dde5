import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { verifyPage } from "../src/pages/verify-page.ts";

// Runs from dist: the page is built from what was compiled, and stands beside it in the package.
const [app, page] = ["verify-app.js", "verify.html"].map((name) =>
  fileURLToPath(new URL(`../src/pages/${name}`, import.meta.url)),
);
if (app === undefined || page === undefined) throw new Error("two paths");

const { outputFiles } = await build({
  entryPoints: [app],
  bundle: true,
  platform: "browser",
  format: "iife",
  target: "es2022",
  minify: true,
  legalComments: "none",
  write: false,
});
const script = outputFiles[0]?.text ?? "";
if (/<\/script|<!--/i.test(script)) throw new Error("the script would end its own element");
await writeFile(page, verifyPage(script));
