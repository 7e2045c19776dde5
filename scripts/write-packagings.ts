import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { tools } from "../src/tools/index.ts";

type Manifest = {
  name: string;
  /** The server's name in the registry of MCP servers, whose owner has to hold the domain. */
  mcpName: string;
  version: string;
  description: string;
  homepage: string;
  license: string;
  author: string;
  repository: { url: string };
  engines: { node: string };
  keywords: string[];
};

const MAIN = "node_modules/proof402/dist/src/cli/main.js";
const CONFIG = "The file that `proof402 init` made. It names the wallet's key file and the payment policy.";

/**
 * The descriptions of the MCP server that registries and hosts read, from the package's own: a bundle's manifest (MCPB
 * 0.3), the registry's server.json (schema 2025-12-11), and the plugin of Claude Code with its market place.
 */
export function packagings(manifest: Manifest): Readonly<Record<string, unknown>> {
  const { name, mcpName, version, description, homepage, license, author, repository, engines, keywords } = manifest;
  const owner = { name: author };
  const url = repository.url.replace(/^git\+/, "");
  return {
    "mcpb/manifest.json": {
      manifest_version: "0.3",
      name,
      display_name: name,
      version,
      description,
      author: owner,
      homepage,
      repository: { type: "git", url },
      license,
      keywords,
      server: {
        type: "node",
        entry_point: MAIN,
        mcp_config: {
          command: "node",
          args: [`\${__dirname}/${MAIN}`, "mcp"],
          env: { PROOF402_CONFIG: "${user_config.config}" },
        },
      },
      tools: tools.map((tool) => ({ name: tool.name, description: tool.title })),
      user_config: {
        config: { type: "file", title: "Configuration", description: CONFIG, required: true },
      },
      compatibility: { runtimes: { node: engines.node } },
    },
    "server.json": {
      $schema: "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
      name: mcpName,
      title: name,
      description,
      version,
      repository: { url, source: "git" },
      websiteUrl: homepage,
      packages: [
        {
          registryType: "npm",
          identifier: name,
          version,
          transport: { type: "stdio" },
          packageArguments: [{ type: "positional", value: "mcp" }],
          environmentVariables: [
            { name: "PROOF402_CONFIG", description: CONFIG, isRequired: false, format: "filepath" },
            {
              name: "PROOF402_PRIVATE_KEY",
              description: "The wallet's key, if the configuration names no key file.",
              isRequired: false,
              isSecret: true,
            },
          ],
        },
      ],
    },
    ".claude-plugin/marketplace.json": {
      name,
      owner,
      plugins: [{ name, source: `./plugins/${name}`, description }],
    },
    [`plugins/${name}/.claude-plugin/plugin.json`]: {
      name,
      version,
      description,
      author: owner,
      homepage,
      license,
      keywords,
    },
    [`plugins/${name}/.mcp.json`]: { mcpServers: { [name]: { command: name, args: ["mcp"] } } },
  };
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  const manifest = JSON.parse(await readFile("package.json", "utf8")) as Manifest;
  for (const [path, value] of Object.entries(packagings(manifest))) {
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, `${JSON.stringify(value, null, 2)}\n`);
  }
}
