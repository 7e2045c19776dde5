import { fileURLToPath } from "node:url";
import { readFileSync } from "node:fs";

/**
 * The name that the package is installed by from the registry. Null as long as that name is not ours: a stranger who
 * registered it would run beside the reader's wallet key. Every installing line of the documents is made from it.
 */
const REGISTRY_NAME: string | null = null;

const manifest = JSON.parse(readFileSync(fileURLToPath(import.meta.resolve("proof402/package.json")), "utf8")) as {
  name: string;
  version: string;
};

/** The part of the README that says how to install. */
export function installText(): string {
  if (REGISTRY_NAME !== null)
    return `\`\`\`sh\nnpm install --global ${REGISTRY_NAME}\n\`\`\`\n\nIn a project of yours: \`npm install ${REGISTRY_NAME}\`.`;
  // As `npm pack` names it.
  const tarball = `${manifest.name.replace(/^@/, "").replace("/", "-")}-${manifest.version}.tgz`;
  return [
    "```sh",
    "npm ci && npm run build && npm link",
    "```",
    "",
    "In a clone, this puts the command `proof402` on your path. **The package is not on npm yet. Install nothing by its name from there: a stranger may have taken",
    `the name.** In a project of yours, install the file that \`npm pack\` makes here: \`npm install ./${tarball}\`.`,
  ].join("\n");
}
