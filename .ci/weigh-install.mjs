// Run in a project that has proof402 installed and nothing else: fails above so many megabytes or packages.
import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

const [mostMegabytes, mostPackages] = process.argv.slice(2).map(Number);
const paths = readdirSync("node_modules", { recursive: true });
const bytes = paths.reduce((sum, path) => {
  const { blocks, size } = lstatSync(join("node_modules", path));
  return sum + (blocks === undefined ? size : blocks * 512);
}, 0);
const packages = paths.filter((path) => /(?:^|\/node_modules\/)(?:@[^/]+\/)?[^/@.][^/]*\/package\.json$/.test(path));
const megabytes = Math.ceil(bytes / 2 ** 20);
console.log(`a buyer's install: ${megabytes} MB in ${packages.length} packages`);
if (megabytes > mostMegabytes || packages.length > mostPackages)
  throw new Error(`more than ${mostMegabytes} MB or ${mostPackages} packages`);
