import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { STYLE } from "./style.ts";

/** The pages' script and style sheet, as the build made them. */
export async function readAssets(): Promise<{ script: string; style: string }> {
  const root = dirname(createRequire(import.meta.url).resolve("proof402/package.json"));
  const read = (name: string): Promise<string> => readFile(join(root, "dist/src/dashboard/browser", name), "utf8");
  const [script, charts] = await Promise.all([read("app.bundle.js"), read("charts.css")]);
  return { script, style: `${charts}\n${STYLE}` };
}
