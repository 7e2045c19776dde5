// Copied into a project that has proof402 installed, and run there: imports every public entry as a user would.
// Without the optional peers, only the entries that are about them may refuse to load.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ABOUT_PEERS = ["./langchain"];
const withPeers = process.argv[2] === "with-peers";
const read = (name) => JSON.parse(readFileSync(fileURLToPath(import.meta.resolve(name)), "utf8"));

for (const [entry, target] of Object.entries(read("proof402/package.json").exports)) {
  const name = entry.replace(/^\./, "proof402");
  if (typeof target === "string") {
    read(name);
    console.log(`${name}: read`);
  } else if (withPeers || !ABOUT_PEERS.includes(entry)) {
    const exported = Object.keys(await import(name));
    if (exported.length === 0) throw new Error(`${name} exports nothing`);
    console.log(`${name}: ${exported.length} exports`);
  }
}
