// Copied into a project that has proof402 installed, and run there: imports every public entry as a user would.
// Without the optional peers, only the entries that are about them may refuse to load, and the commands that need them
// name all that are missing in one line before they start anything.
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const ABOUT_PEERS = ["./langchain", "./ai", "./openai-agents", "./node", "./devnet"];
const COMMANDS = [["demo"], ["devnet"], ["node", "zk", "compile", "model.onnx", "--out", "."]];
const withPeers = process.argv[2] === "with-peers";
const read = (name) => JSON.parse(readFileSync(fileURLToPath(import.meta.resolve(name)), "utf8"));
const manifest = read("proof402/package.json");

for (const [entry, target] of Object.entries(manifest.exports)) {
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

for (const command of withPeers ? [] : COMMANDS) {
  const { status, stdout } = spawnSync("./node_modules/.bin/proof402", ["--json", ...command], { encoding: "utf8" });
  const { code, next } = JSON.parse(stdout).error;
  const line = /npm install (?:(?:@[\w-]+\/)?[\w-]+@\d[\w.]*[ .])+/.exec(next)?.[0];
  if (status !== 1 || code !== "peers_missing" || line === undefined) throw new Error(`${command[0]} said ${stdout}`);
  console.log(`proof402 ${command[0]}: ${line}`);
}
