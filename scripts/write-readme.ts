import { readFile, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { CLIENTS, type Client } from "../src/cli/install/clients.ts";
import { installText } from "./install-lines.ts";
import { inputSchema } from "../src/tools/input-schema.ts";
import { tools } from "../src/tools/index.ts";

/** Characters of a tool's definition as a model is sent it, divided by four. */
export const tokensOf = (tool: (typeof tools)[number]): number =>
  Math.ceil((tool.name.length + tool.description.length + JSON.stringify(inputSchema(tool)).length) / 4);

/** The table of tools in docs/tools.md. */
export function toolTable(): string {
  const rows = tools.map(
    (tool) =>
      `| \`${tool.name}\` | ${tool.description} | ${tool.annotations.readOnlyHint ? "no" : "yes"} | ${tokensOf(tool)} |`,
  );
  const total = tools.reduce((sum, tool) => sum + tokensOf(tool), 0);
  return [
    "| tool | what it does | spends | tokens |",
    "|---|---|---|---|",
    ...rows,
    "",
    `${tools.length} tools, ${total} tokens in all (characters / 4 of name, description and input schema; at most 1,500).`,
  ].join("\n");
}

/**
 * The lines of an example between `// readme:begin` and `// readme:end`, as a block of TypeScript. A line that ends in
 * `// not in README` is left out; `// in README: x` has `x` in the line's place.
 */
export function snippetOf(source: string): string {
  const [, cut] = /^\/\/ readme:begin\n([\s\S]*?)^\/\/ readme:end$/m.exec(source) ?? [];
  if (cut === undefined) throw new Error("the example has no readme markers");
  const lines = cut
    .replaceAll(/^.*\/\/ not in README\n/gm, "")
    .replaceAll(/^(\s*).*\/\/ in README: (.*)$/gm, "$1$2")
    .trim();
  return `\`\`\`ts\n${lines}\n\`\`\``;
}

/** Links that add the server to the clients that know links, if the command is on the path. */
export function linkText(): string {
  const links = Object.values<Client>(CLIENTS).flatMap(({ name, link }) =>
    link === undefined ? [] : [`[add to ${name}](${link.web({ command: "proof402", args: ["mcp"] }, "proof402")})`],
  );
  return `${links.join(", ")}.`;
}

/** The README with its generated parts as they are now. */
export async function readmeText(text: string): Promise<string> {
  const example = async (name: string): Promise<string> => snippetOf(await readFile(resolve("examples", name), "utf8"));
  const parts = {
    install: installText(),
    links: linkText(),
    langchain: await example("langchain-guard/agent.ts"),
    library: await example("verify-in-browser/buy.ts"),
  };
  return Object.entries(parts).reduce((page, [name, content]) => replaceBetween(page, name, content), text);
}

/** The text with everything between a pair of markers replaced. Throws where the markers are missing. */
export function replaceBetween(text: string, name: string, content: string): string {
  const pattern = new RegExp(`(<!-- ${name}:begin[^>]*-->\\n)[\\s\\S]*?(<!-- ${name}:end -->)`);
  if (!pattern.test(text)) throw new Error(`the page has no ${name} markers`);
  return text.replace(pattern, (_all, begin: string, end: string) => `${begin}${content}\n${end}`);
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const path = resolve("docs/tools.md");
  await writeFile(path, replaceBetween(await readFile(path, "utf8"), "tools", `\n${toolTable()}\n`));
  await writeFile("README.md", await readmeText(await readFile("README.md", "utf8")));
}
