import { writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { makeListing } from "../mcp-server/listing.ts";

// The tools as an MCP server lists them, as data: a host waits for no tool's code while it lists them.
const { version, tools } = makeListing();
const text = `// Made by npm run generate:listing of the tools' definitions. Do not edit.
import type { Listed } from "./listing.ts";

export const LISTED: { version: string; tools: Listed[] } = {
  version: ${JSON.stringify(version)},
  tools: [
${tools.map((tool) => `    ${JSON.stringify(tool)},`).join("\n")}
  ],
};
`;
await writeFile(resolve("mcp-server/listed.artifact.ts"), text);
