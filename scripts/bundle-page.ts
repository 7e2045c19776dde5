import { build } from "esbuild";

/** The script of a page as one text, for browsers. Throws Error for a script that would end its own element. */
export async function bundlePage(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [entry],
    bundle: true,
    platform: "browser",
    format: "iife",
    target: "es2022",
    minify: true,
    legalComments: "none",
    charset: "ascii",
    write: false,
  });
  const script = outputFiles[0]?.text ?? "";
  if (/<\/script|<!--/i.test(script)) throw new Error("the script would end its own element");
  return script;
}
