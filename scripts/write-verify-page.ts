import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { verifyPage } from "../src/pages/verify-page.ts";
import { bundlePage } from "./bundle-page.ts";

// Runs from dist: the page is built from what was compiled, and stands beside it in the package.
const [app, page] = ["verify-app.js", "verify.html"].map((name) =>
  fileURLToPath(new URL(`../src/pages/${name}`, import.meta.url)),
);
if (app === undefined || page === undefined) throw new Error("two paths");
await writeFile(page, verifyPage(await bundlePage(app)));
